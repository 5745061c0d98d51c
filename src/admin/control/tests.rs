use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

async fn server(path: &Path) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let listener = bind(path).unwrap();
    let handler = |request: Value, peer: Option<u32>, report: mpsc::Sender<Value>| async move {
        let mut reports = 0;
        while reports < request["reports"].as_u64().unwrap_or(0) && report.send(json!(reports)).await.is_ok()
        {
            reports += 1;
        }
        json!({ "asked": request["command"], "by": peer, "reports": reports })
    };
    let serving = tokio::spawn(serve(listener, path.to_owned(), handler, stop.clone()));
    (stop, serving)
}

async fn call_from_thread(path: &Path, request: Value) -> Result<Value, ControlError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || call(&path, &request)).await.unwrap()
}

#[tokio::test]
async fn a_request_is_answered_and_the_socket_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(directory.path());
    let (stop, serving) = server(&path).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let answer = call_from_thread(&path, json!({ "command": "counters" })).await.unwrap();
    let own = rustix::process::getuid().as_raw();
    assert_eq!(answer, json!({ "asked": "counters", "by": own, "reports": 0 }), "the system says who asks");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing but the socket is left");

    stop.cancel();
    serving.await.unwrap();
    assert!(!path.exists());
    let error = call_from_thread(&path, json!({})).await.unwrap_err();
    assert!(matches!(error, ControlError::NotRunning { .. }), "{error}");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(directory.path());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::fs::create_dir(path.with_extension("new")).unwrap();
    let (_stop, _serving) = server(&path).await;
    assert!(matches!(bind(&path), Err(ControlError::InUse(_))));
    assert!(call_from_thread(&path, json!({})).await.is_ok());
}

#[tokio::test]
async fn rubbish_and_endless_requests_get_an_error_and_the_server_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(directory.path());
    let (_stop, _serving) = server(&path).await;
    let mut endless = vec![b' '; usize::try_from(REQUEST_BYTES_MAX).unwrap()];
    for (request, said) in [(b"nonsense\n".to_vec(), "no JSON"), (std::mem::take(&mut endless), "1 MiB")] {
        let path = path.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            read_answer(&mut ask(stream, &request).unwrap()).unwrap()
        });
        let answer: Value = serde_json::from_slice(&answer.await.unwrap()).unwrap();
        assert!(answer["error"].as_str().unwrap().contains(said), "{answer}");
    }
    let too_large = json!({ "x": "y".repeat(usize::try_from(REQUEST_BYTES_MAX).unwrap()) });
    assert!(matches!(call_from_thread(&path, too_large).await, Err(ControlError::RequestTooLarge)));
    assert!(call_from_thread(&path, json!({})).await.is_ok());
}

#[tokio::test]
async fn progress_comes_before_the_answer_and_ends_with_who_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_path(directory.path());
    let (_stop, _serving) = server(&path).await;
    let socket = path.clone();
    let told = tokio::task::spawn_blocking(move || {
        let mut reports = Vec::new();
        let request = json!({ "command": "x", "reports": 100 });
        let answer = call_with(&socket, &request, &mut |report| reports.push(report.clone())).unwrap();
        (reports, answer["reports"].clone())
    });
    let (reports, count) = told.await.unwrap();
    // The answer overtakes reports that still wait.
    let expected: Vec<Value> = (0..reports.len()).map(|report| json!(report)).collect();
    assert!(reports.len() >= 100 - REPORTS_WAITING_MAX && reports == expected, "{reports:?}");
    assert_eq!(count, 100);
    // The channel closes under a handler whose client is gone, and it comes to its end.
    let (report, reports) = mpsc::channel(1);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let work = async move {
        let mut count = 0;
        while report.send(json!(count)).await.is_ok() {
            count += 1;
        }
        json!("stopped")
    };
    assert_eq!(attend(&mut ours, work, reports).await, json!("stopped"));
}
