//! What an OCSP response counts for that a server stapled to its certificate.

use super::*;
use crate::trust::ocsp_maker::{Response, Status};
use crate::trust::{Staple, StapleProblem};

/// A server below a root, with a list of the root's or none; hard-fail.
struct Scene {
    root: Authority,
    leaf: CertificateDer<'static>,
}

impl Scene {
    fn new() -> Self {
        let root = Authority::root("root");
        let leaf = root.leaf(&leaf_params());
        Self { root, leaf }
    }

    fn response(&self) -> Response {
        Response::of(&self.leaf, &self.root.der, now())
    }

    fn case(&self, lists: Vec<Arc<RevocationList>>, staple: Vec<u8>) -> Case {
        let mut case = Case::new(&self.root, vec![self.leaf.clone()]).hard_fail(lists);
        case.direction = Direction::Outbound;
        case.own = OwnCertificateState::Sent;
        case.staple = Some(staple);
        case
    }

    fn by_issuer(&self, response: &Response) -> Vec<u8> {
        response.signed_by(self.root.issuer.key())
    }

    /// A responder below `authority`, its certificate changed by `change`.
    fn responder(authority: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let mut params = numbered(params("responder"), 77);
        params.extended_key_usages = vec![Usage::OcspSigning];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 5], vec![5, 0])];
        change(&mut params);
        authority.below(params)
    }

    fn by_responder(&self, responder: &Authority, response: Response) -> Vec<u8> {
        response.enclosing(&responder.der).signed_by(responder.issuer.key())
    }
}

fn day(count: i64) -> Timestamp {
    now() + (count * 24).hours()
}

/// Why the response counted for nothing, in a judgement that lacks a list because of it.
#[track_caller]
fn ignored(case: &Case) -> StapleProblem {
    let verdict = case.expect(&[Fault::RevocationUnknown]);
    let Some(Staple::Ignored(problem)) = verdict.staple.clone() else {
        panic!("not ignored: {:?}", verdict.staple)
    };
    assert!(verdict.sentence().contains(&problem.to_string()), "{}", verdict.sentence());
    problem
}

#[test]
fn a_good_response_serves_where_there_is_no_list() {
    let scene = Scene::new();
    let responder = Scene::responder(&scene.root, |_| {});
    let by_sha256 = Response { with_sha256: true, version: Some(0), ..scene.response() };
    for staple in [
        scene.by_issuer(&scene.response()),
        scene.by_issuer(&by_sha256),
        scene.by_responder(&responder, scene.response()),
    ] {
        let verdict = scene.case(vec![], staple).expect(&[]);
        assert_eq!(verdict.verified, [Check::Chain, Check::Revocation, Check::Name]);
        assert_eq!(verdict.staple, Some(Staple::Good { until: day(7) }));
        assert!(verdict.missing_lists.is_empty());
        assert_eq!(verdict.staple_line().unwrap().0, "good until 2026-06-08T12:00:00Z");
        assert_eq!(verdict.to_json()["ocsp_staple"], "good until 2026-06-08T12:00:00Z");
    }
}

#[test]
fn revoked_is_revoked_whatever_the_lists_say() {
    let scene = Scene::new();
    let good_list = scene.root.list(-1, 5, &[]);
    let revoked = scene.response().revoked(day(-3), Some(1));
    let responder = Scene::responder(&scene.root, |_| {});
    for staple in [scene.by_issuer(&revoked), scene.by_responder(&responder, revoked.clone())] {
        let mut case = scene.case(vec![Arc::clone(&good_list)], staple);
        for mode in [RevocationMode::HardFail, RevocationMode::SoftFail] {
            case.policy.revocation = mode;
            let verdict = case.expect(&[Fault::Revoked]);
            let words = &verdict.facts[0];
            assert!(words.detail.contains("2026-05-29T12:00:00Z (key compromise)"), "{}", words.detail);
            assert!(words.detail.contains("says the OCSP response that came with it"), "{}", words.detail);
            assert!(words.got.contains("serial 07 revoked on 2026-05-29T12:00:00Z (key compromise)"));
        }
        case.policy.revocation = RevocationMode::Off;
        assert_eq!(case.expect(&[]).staple, None);
    }
    let without_reason = scene.by_issuer(&scene.response().revoked(day(-3), None));
    assert!(
        scene
            .case(vec![good_list], without_reason)
            .expect(&[Fault::Revoked])
            .sentence()
            .contains("no reason")
    );
}

/// A list that names the certificate is not undone by an older, or bought, good response.
#[test]
fn a_list_that_names_the_certificate_counts_beside_a_good_response() {
    let scene = Scene::new();
    let good = scene.by_issuer(&scene.response());
    scene.case(vec![scene.root.list(-1, 5, &[7])], good).expect(&[Fault::Revoked]);
}

#[test]
fn a_short_lived_certificate_needs_no_list_but_a_response_can_still_revoke_it() {
    let mut scene = Scene::new();
    let mut params = leaf_params();
    (params.not_before, params.not_after) = (days(-1), days(5));
    scene.leaf = scene.root.leaf(&params);
    scene.case(vec![], scene.by_issuer(&scene.response())).expect(&[]);
    scene.case(vec![], b"junk".to_vec()).expect(&[]);
    let revoked = scene.by_issuer(&scene.response().revoked(day(-1), None));
    scene.case(vec![], revoked).expect(&[Fault::Revoked]);
}

#[test]
fn a_response_that_says_nothing_of_this_certificate_today_counts_for_nothing() {
    let scene = Scene::new();
    let response = || scene.response();
    let other_key = Authority::root("root");
    type Expected = fn(&StapleProblem) -> bool;
    let rows: Vec<(&str, Response, Expected)> = vec![
        ("another serial", Response { serial: vec![8], ..response() }, |p| {
            *p == StapleProblem::OtherCertificate
        }),
        ("another issuer", Response { issuer_name: vec![0x30, 0], ..response() }, |p| {
            *p == StapleProblem::OtherCertificate
        }),
        ("another issuer's key", Response { issuer_key: vec![4], ..response() }, |p| {
            *p == StapleProblem::OtherCertificate
        }),
        ("unknown", Response { status: Status::Unknown, ..response() }, |p| *p == StapleProblem::Unknown),
        ("try later", Response { outcome: 3, ..response() }, |p| *p == StapleProblem::NoAnswer),
        ("version 2", Response { version: Some(1), ..response() }, |p| {
            matches!(p, StapleProblem::Malformed(_))
        }),
        ("out of date", response().between(day(-9), Some(day(-2))), |p| {
            matches!(p, StapleProblem::OutOfDate(_))
        }),
        ("revoked and out of date", response().revoked(day(-9), None).between(day(-9), Some(day(-2))), |p| {
            matches!(p, StapleProblem::OutOfDate(_))
        }),
        ("not yet", response().between(day(1), Some(day(2))), |p| {
            matches!(p, StapleProblem::NotYetCurrent(_))
        }),
        ("without an end", response().between(day(-1), None), |p| *p == StapleProblem::NoNextUpdate),
        ("a critical extension", Response { extension: Some((vec![42, 3, 4], true)), ..response() }, |p| {
            *p == StapleProblem::CriticalExtension("1.2.3.4".to_owned())
        }),
    ];
    for (what, response, expected) in rows {
        let staple = scene.by_issuer(&response);
        let problem = ignored(&scene.case(vec![], staple.clone()));
        assert!(expected(&problem), "{what}: {problem}");
        // And takes nothing away from a list.
        let verdict = scene.case(vec![scene.root.list(-1, 5, &[])], staple).expect(&[]);
        assert_eq!(verdict.staple, Some(Staple::Ignored(problem)), "{what}");
    }
    let harmless = Response { extension: Some((vec![42, 3, 4], false)), ..response() };
    scene.case(vec![], scene.by_issuer(&harmless)).expect(&[]);
    let by_other = response().signed_by(other_key.issuer.key());
    assert_eq!(ignored(&scene.case(vec![], by_other)), StapleProblem::NotTheIssuers);
    let mut damaged = scene.by_issuer(&response());
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(ignored(&scene.case(vec![], damaged)), StapleProblem::NotTheIssuers);
    for junk in [&b""[..], b"junk", &[0x30, 0], &[0x30; 20_000]] {
        ignored(&scene.case(vec![], junk.to_vec()));
    }
    // Soft-fail admits without a list, and the response says why there is no `revocation`.
    let mut case = scene.case(vec![], b"junk".to_vec());
    case.policy.revocation = RevocationMode::SoftFail;
    assert_eq!(case.expect(&[]).verified, [Check::Chain, Check::Name]);
}

#[test]
fn only_a_responder_that_the_issuer_itself_appointed_is_believed() {
    let scene = Scene::new();
    let stranger = Authority::root("root");
    let middle = scene.root.below(Authority::params("middle"));
    let no_change = |_: &mut CertificateParams| {};
    let below = |change: fn(&mut CertificateParams)| Scene::responder(&scene.root, change);
    for (what, responder) in [
        ("of another root by that name", Scene::responder(&stranger, no_change)),
        ("of an authority below the issuer", Scene::responder(&middle, no_change)),
        ("for TLS servers", below(|params| params.extended_key_usages = vec![Usage::ServerAuth])),
        ("for anything", below(|params| params.extended_key_usages = vec![Usage::Any])),
        ("for nothing said", below(|params| params.extended_key_usages.clear())),
        ("for key agreement", below(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement])),
        ("expired", below(|params| params.not_after = days(-1))),
        ("to be checked, without a list", below(|params| params.custom_extensions.clear())),
    ] {
        for response in [scene.response(), scene.response().revoked(day(-1), Some(1))] {
            let staple = scene.by_responder(&responder, response);
            let problem = ignored(&scene.case(vec![], staple));
            let expected = matches!(problem, StapleProblem::NotTheIssuers | StapleProblem::Responder(_));
            assert!(expected, "{what}: {problem}");
        }
    }
    // The server's own certificate cannot vouch for itself.
    let own_key = KeyPair::generate().unwrap();
    let own = leaf_params().signed_by(&own_key, &scene.root.issuer).unwrap().der().clone();
    let scene = Scene { leaf: own.clone(), ..scene };
    let staple = scene.response().enclosing(&own).signed_by(&own_key);
    assert!(matches!(ignored(&scene.case(vec![], staple)), StapleProblem::Responder(_)));
}

#[test]
fn a_responder_without_nocheck_is_looked_up_in_the_lists() {
    let scene = Scene::new();
    let responder = Scene::responder(&scene.root, |params| params.custom_extensions.clear());
    let revoked = scene.by_responder(&responder, scene.response().revoked(day(-1), None));
    scene.case(vec![scene.root.list(-1, 5, &[])], revoked.clone()).expect(&[Fault::Revoked]);
    let verdict = scene.case(vec![scene.root.list(-1, 5, &[77])], revoked).expect(&[]);
    assert!(matches!(verdict.staple, Some(Staple::Ignored(StapleProblem::Responder(_)))));
}

/// A memory that forgot the staple would let the second question have the answer of the first.
#[test]
fn a_good_response_is_remembered_no_longer_than_it_is_current() {
    let scene = Scene::new();
    let good = scene.by_issuer(&scene.response().between(day(-1), Some(day(2))));
    let revoked = scene.by_issuer(&scene.response().revoked(day(-1), None));
    let case = scene.case(vec![], Vec::new());
    let ask = |staple: Option<&[u8]>, at: Timestamp| {
        let usage = UsagePolicy::Server;
        let demand = CertificateDemand { policy: &case.policy, usage, names: Vec::new() };
        let found = judge_certificates(&demand, &case.chain, staple, &case.lists, at);
        found.facts.first().map(|fact| fact.fault)
    };
    for _ in 0..2 {
        assert_eq!(ask(Some(&good), now()), None);
        assert_eq!(ask(None, now()), Some(Fault::RevocationUnknown));
        assert_eq!(ask(Some(&revoked), now()), Some(Fault::Revoked));
        assert_eq!(ask(Some(&good), day(2)), None);
        assert_eq!(ask(Some(&good), day(2) + 1.second()), Some(Fault::RevocationUnknown));
    }
}

/// A staple is the end-entity's alone.
#[test]
fn an_intermediate_still_needs_its_list() {
    let root = Authority::root("root");
    let middle = root.below(Authority::params("middle"));
    let leaf = middle.leaf(&leaf_params());
    let staple = Response::of(&leaf, &middle.der, now()).signed_by(middle.issuer.key());
    let mut case = Case::new(&root, vec![leaf, middle.der.clone()]).hard_fail(vec![]);
    case.staple = Some(staple);
    case.expect(&[Fault::RevocationUnknown]);
    let case =
        Case { lists: RevocationSet { lists: vec![root.list(-1, 5, &[])], ..case.lists.clone() }, ..case };
    assert_eq!(case.expect(&[]).verified, [Check::Chain, Check::Revocation, Check::Name]);
}
