//! The subject of a request as operators write it: attributes with commas between them, in the
//! order of the directory tree (`DC=com,DC=Contoso,CN=mail1.contoso.com`, as Exchange's documents
//! have it), or in that of RFC 4514 (`CN=mail1.contoso.com,O=Contoso,C=US`), which begins with the CN.

use std::str::FromStr;

use x509_cert::der::{Decode, Encode};
use x509_cert::name::Name;

/// A distinguished name for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    name: Name,
    common_name: Option<String>,
}

/// Why a text is no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    #[error("{0:?} is no distinguished name; write it as \"DC=com,DC=Contoso,CN=mail1.contoso.com\"")]
    Malformed(String),
    #[error(
        "{0:?} in the subject is no NAME=VALUE of a known name; write such as CN=mail1.contoso.example, with CN, O, OU, L, ST, C or DC"
    )]
    Attribute(String),
}

impl Subject {
    /// `CN=` and this name.
    pub fn common(name: &str) -> Result<Self, SubjectError> {
        format!("CN={name}").parse()
    }

    /// The subject of an existing certificate (DER), for its successor.
    pub fn of_certificate(der: &[u8]) -> Result<Self, SubjectError> {
        let name = Name::from_der(der).map_err(|error| SubjectError::Malformed(error.to_string()))?;
        let common_name = name.to_string().split(',').find_map(common_name);
        Ok(Self { name, common_name })
    }

    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    pub fn to_der(&self) -> Vec<u8> {
        self.name.to_der().unwrap_or_default()
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let mut attributes: Vec<&str> = split(text).into_iter().map(str::trim).collect();
        for attribute in &attributes {
            let well_formed = Name::from_str(attribute).is_ok()
                && attribute.split_once('=').is_some_and(|(_, value)| !value.trim().is_empty());
            if !well_formed {
                return Err(SubjectError::Attribute((*attribute).to_owned()));
            }
        }
        let common_name = attributes.iter().copied().find_map(common_name);
        let begins_with_leaf = attributes.first().copied().and_then(self::common_name).is_some();
        if !begins_with_leaf {
            attributes.reverse();
        }
        let name = Name::from_str(&attributes.join(","));
        let name = name.map_err(|_| SubjectError::Malformed(text.to_owned()))?;
        Ok(Self { name, common_name })
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::trust::printable(&self.name.to_string()))
    }
}

fn common_name(attribute: &str) -> Option<String> {
    let (name, value) = attribute.split_once('=')?;
    name.eq_ignore_ascii_case("cn").then(|| value.trim().to_owned())
}

/// At commas that no backslash takes back.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        if character == ',' && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Subject>().map_or_else(|error| error.to_string(), |subject| subject.to_string())
    }

    #[test]
    fn both_orders_give_the_name_that_was_meant() {
        for text in [
            "DC=com,DC=Contoso,CN=mail1.contoso.com",
            "dc=com, dc=Contoso, cn=mail1.contoso.com",
            "CN=mail1.contoso.com,DC=Contoso,DC=com",
        ] {
            assert_eq!(shown(text), "CN=mail1.contoso.com,DC=Contoso,DC=com", "{text}");
        }
        let subject: Subject = "C=US,O=Contoso\\, Ltd,CN=mail.contoso.com".parse().unwrap();
        assert_eq!(subject.to_string(), "CN=mail.contoso.com,O=Contoso\\, Ltd,C=US");
        assert_eq!(subject.common_name(), Some("mail.contoso.com"));
        let again = Subject::of_certificate(&subject.to_der()).unwrap();
        assert_eq!(again, subject);
    }

    #[test]
    fn what_is_no_name_is_said() {
        for text in ["", "mail.contoso.com", "CN=", "CN=a,,O=b", "XYZ=a,CN=b"] {
            assert!(text.parse::<Subject>().is_err(), "{text}: {}", shown(text));
        }
    }
}
