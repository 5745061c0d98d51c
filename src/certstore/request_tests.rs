//! Requests and self-signed certificates, read back by other hands. OpenSSL reads them too
//! (tests/certificates.rs).

use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate, X509CertificationRequest};

use super::*;

fn terms() -> RequestTerms {
    RequestTerms {
        subject: "DC=com,DC=Contoso,CN=mail1.contoso.com".parse().unwrap(),
        names: vec!["mail1.contoso.com".to_owned(), "*.contoso.com".to_owned()],
    }
}

#[test]
fn a_request_says_what_was_asked_and_its_signature_holds() {
    for kind in [KeyKind::EcP256, KeyKind::EcP384, KeyKind::Rsa2048] {
        let key = kind.generate().unwrap();
        let der = signing_request(&terms(), &key).unwrap();
        let (rest, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(
            request.certification_request_info.subject.to_string(),
            "DC=com, DC=Contoso, CN=mail1.contoso.com"
        );
        let extensions: Vec<_> = request.requested_extensions().unwrap().collect();
        let san = extensions.iter().find_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(san) => Some(san.general_names.len()),
            _ => None,
        });
        assert_eq!(san, Some(2));
        // rcgen reads a request only after checking its signature.
        let again = rcgen::CertificateSigningRequestParams::from_der(&der.into());
        assert!(again.is_ok(), "{}: {:?}", kind.name(), again.err());
    }
}

#[test]
fn a_self_signed_certificate_vouches_for_itself_for_as_long_as_asked() {
    let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    for (days, end) in [(10, "2026-12-02T00:00:00Z"), (36_500, "2126-10-29T00:00:00Z")] {
        let key = KeyKind::EcP256.generate().unwrap();
        let lifetime = Duration::from_secs(days * 86_400);
        let der = self_signed_certificate(&terms(), &key, now, lifetime).unwrap();
        assert!(crate::trust::is_issued_by(&der, &der));
        let facts = crate::trust::CertificateFacts::read(&der).unwrap();
        assert_eq!((facts.not_before, facts.not_after.to_string()), (now, end.to_owned()));
        assert_eq!(facts.names, ["mail1.contoso.com", "*.contoso.com"]);
        assert!((15..=16).contains(&(facts.serial.len() / 2)), "{}", facts.serial);
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        assert!(!parsed.is_ca());
    }
}

#[test]
fn the_old_key_can_be_asked_for_again() {
    for kind in [KeyKind::EcP256, KeyKind::EcP384, KeyKind::Rsa2048] {
        let key = kind.generate().unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let again = key_pair(&der).unwrap();
        assert_eq!(again.subject_public_key_info(), key.subject_public_key_info());
        assert!(signing_request(&terms(), &again).is_ok(), "{}", kind.name());
    }
}
