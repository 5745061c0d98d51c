//! A certificate that came by mail.

use sealpost::cli::demo::pki::Validity;

use crate::common::{PARTNER, command};
use crate::{World, fits_a_terminal, flat};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_judged_as_a_client_certificate() {
    let mut world = World::new().await;
    let config = world.config();
    let good = world.identity(&[PARTNER]).write(&world.site.path(""), "good").unwrap();
    let bad = world.theirs.issue(&["mx.woodgrove.example"], Validity::Expired).unwrap();
    let bad = bad.write(&world.site.path(""), "bad").unwrap();
    let probe = |file: &std::path::Path, domain: &[&str]| {
        let mut arguments = vec!["partner", "probe"];
        arguments.extend(domain);
        arguments.extend(["--inbound", file.to_str().unwrap()]);
        let (status, told, errors) = command(&config, &arguments);
        fits_a_terminal(&told);
        (status, flat(&told), errors)
    };

    let (status, told, _) = probe(&good.chain, &[PARTNER]);
    assert_eq!(status, 0, "{told}");
    assert!(told.contains("verdict admitted"), "{told}");

    let (status, told, _) = probe(&bad.chain, &[PARTNER]);
    assert_eq!(status, 1, "{told}");
    for words in [
        "not admitted: Expired",
        "MAIL hears 550 5.7.5 Domain security: Expired",
        "The certificate that you sent us, CN=mx.woodgrove.example,O=Woodgrove",
        "certificate_names = [\"mx.woodgrove.example\"]",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }

    // Whom does it prove?
    let (status, told, _) = probe(&good.chain, &[]);
    assert_eq!(status, 0);
    assert!(told.contains("inbound mail from woodgrove.example"), "{told}");

    let (status, told, _) = probe(&good.chain, &["elsewhere.example"]);
    assert_eq!(status, 1);
    assert!(told.contains("receive list no: judged as if it were"), "{told}");

    let (status, _, errors) = probe(&good.key, &[PARTNER]);
    assert_eq!(status, 2);
    assert!(errors.contains("neither PEM nor DER"), "{errors}");
}
