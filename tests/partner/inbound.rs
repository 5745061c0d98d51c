//! A certificate that came by mail.

use sealpost::cli::demo::pki::Validity;

use crate::common::{PARTNER, command, tool};
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
    assert!(errors.contains("a private key and no certificate"), "{errors}");
}

/// What Windows calls a chain: PKCS#7, in no order.
#[tokio::test(flavor = "multi_thread")]
async fn a_pkcs7_file_is_read_as_import_reads_it() {
    let Some(openssl) = tool("a_pkcs7_file_is_read_as_import_reads_it", "openssl") else { return };
    let mut world = World::new().await;
    let config = world.config();
    let good = world.identity(&[PARTNER]).with_root(&world.theirs);
    let chain = good.write(&world.site.path(""), "good").unwrap().chain;
    for (form, file) in [("DER", "good.p7b"), ("PEM", "good.p7")] {
        let file = world.site.path(file);
        let mut made = std::process::Command::new(&openssl);
        made.args(["crl2pkcs7", "-nocrl", "-outform", form, "-certfile"]).arg(&chain).arg("-out").arg(&file);
        assert!(made.status().unwrap().success());
        let arguments = ["partner", "probe", PARTNER, "--inbound", file.to_str().unwrap()];
        let (status, told, errors) = command(&config, &arguments);
        assert_eq!((status, errors.as_str()), (0, ""), "{told}");
        assert!(flat(&told).contains("certificate CN=woodgrove.example"), "{told}");
    }
}
