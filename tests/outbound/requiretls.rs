//! Mail whose sender would rather have it back than see it go unprotected (RFC 8689).

use sealpost::cli::demo::client::{Client, Disguise};
use sealpost::cli::demo::pki::Validity;

use super::lab::{Asks, BOTH, Edge, Lab, letter, server_config};
use super::peer::{Message, Part};

const SENDER: &str = "kim@bank.example";
const OFFERS: &str = "PIPELINING\nREQUIRETLS\n8BITMIME\nENHANCEDSTATUSCODES";

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_requires_tls_goes_only_where_that_is_promised_and_else_comes_back() {
    let mut lab = Lab::new();
    let offering = |part: Part| Part { extensions: OFFERS, ..part };
    let part = offering(lab.good("bank.example"));
    let bank = lab.partner("bank.example", part, "").await;
    let part = lab.good("silent.example");
    let silent = lab.partner("silent.example", part, "").await;
    let identity = lab.identity("unsigned.example", Validity::Current);
    let part = offering(Part::tls(server_config(&identity, Asks::Nothing, BOTH)));
    let unsigned = lab.peer("unsigned.example", part).await;
    // Mail hosts that bear the name of their domain: nothing was learned from DNS but an address.
    let identity = lab.identity("direct.example", Validity::Current);
    let direct = offering(Part::tls(server_config(&identity, Asks::Nothing, BOTH)));
    let direct = named_by_its_domain(&mut lab, "direct.example", direct).await;
    let identity = lab.identity("other.example", Validity::Current);
    let wrong = offering(Part::tls(server_config(&identity, Asks::Nothing, BOTH)));
    let wrong = named_by_its_domain(&mut lab, "wrong.example", wrong).await;
    let clear = named_by_its_domain(&mut lab, "clear.example", offering(Part::default())).await;
    let edge = lab.start("").await;

    for domain in ["bank", "silent", "unsigned", "direct", "wrong", "clear"] {
        let to = format!("bob@{domain}.example");
        require_tls(&edge, &to, &letter(&format!("to {domain}"))).await;
    }
    let arrived = bank.message(is_about("to bank")).await;
    assert!(arrived.tls && arrived.mail.contains(" REQUIRETLS"), "{}", arrived.mail);
    let arrived = direct.message(is_about("to direct")).await;
    assert!(arrived.tls && arrived.mail.contains(" REQUIRETLS"), "{}", arrived.mail);
    for (domain, status) in
        [("silent", "5.7.30"), ("unsigned", "5.7.10"), ("wrong", "5.7.10"), ("clear", "5.7.10")]
    {
        let about = format!("your message to bob@{domain}.example");
        let bounce = bank.message(is_about(&about)).await;
        let text = String::from_utf8_lossy(&bounce.content).into_owned();
        assert!(text.contains(&format!("\r\nStatus: {status}\r\n")), "{domain}: {text}");
        assert!(text.contains("REQUIRETLS"), "{text}");
        assert!(!text.contains(&format!("\r\n\r\nto {domain}\r\n")), "the content is withheld: {text}");
        assert!(bounce.mail.starts_with("MAIL FROM:<>") && bounce.mail.contains(" REQUIRETLS"), "{bounce:?}");
    }
    for peer in [&silent, &unsigned, &wrong, &clear] {
        assert!(!peer.verbs().contains(&"MAIL".to_owned()), "{:?}", peer.sessions());
    }
    edge.until("nothing is left", <[_]>::is_empty).await;

    // What nobody requires goes there all the same.
    for domain in ["silent", "unsigned", "wrong", "clear"] {
        edge.submit(SENDER, &[&format!("bob@{domain}.example")], &letter("ordinary")).await;
    }
    for peer in [&silent, &unsigned, &wrong, &clear] {
        assert!(!peer.message(is_about("ordinary")).await.mail.contains("REQUIRETLS"));
    }
}

fn is_about(subject: &str) -> impl Fn(&Message) -> bool {
    let line = format!("{subject}\r\n");
    move |message| {
        let text = String::from_utf8_lossy(&message.content).into_owned();
        text.lines().any(|field| field.starts_with("Subject:") && format!("{field}\r\n").ends_with(&line))
    }
}

async fn named_by_its_domain(lab: &mut Lab, domain: &str, part: Part) -> super::peer::Peer {
    let host = lab.host();
    lab.record(|zone, network| zone.address(domain, network.ip(host)));
    super::peer::Peer::start(lab.network.at(host), part).await
}

/// Hands in a message over TLS, as REQUIRETLS must be.
async fn require_tls(edge: &Edge, to: &str, content: &[u8]) {
    let mut client = Client::connect(edge.internal, Disguise::Anonymous).await.unwrap();
    for command in [format!("MAIL FROM:<{SENDER}> REQUIRETLS"), format!("RCPT TO:<{to}>"), "DATA".to_owned()]
    {
        let reply = client.command(&command).await.unwrap();
        assert!(reply.is_positive(), "{command}: {reply}");
    }
    let reply = client.content(content).await.unwrap();
    assert_eq!(reply.code, 250, "{reply}");
    client.quit().await;
}
