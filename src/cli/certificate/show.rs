//! `sealpost certificate show`: one certificate with its chain, or one pending request.

use clap::Args;
use serde_json::json;

use crate::certstore::{self, Found};
use crate::trust::CertificateFacts;

use super::list::{Inventory, block, request_json, request_text};
use super::place::{Place, Refusal};
use crate::cli::print::{print_json, print_out};

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Thumbprint or request, or at least eight digits from its beginning
    thumbprint: String,
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ShowArgs, place: &Place) -> Result<(), Refusal> {
    let inventory = Inventory::take(place);
    let found = match place.store.find(&args.thumbprint) {
        Ok(Found::Request(id)) => {
            let request = place.store.request(&id)?;
            if args.json {
                print_json(&request_json(&request));
            } else {
                print_out(request_text(&request).as_bytes());
                print_out(certstore::pem("CERTIFICATE REQUEST", &request.request).as_bytes());
            }
            return Ok(());
        }
        Ok(Found::Certificate(thumbprint)) => Ok(thumbprint),
        // It may be one that the configuration names.
        Err(error) => Err(error),
    };
    let digits = args.thumbprint.replace([':', ' '], "").to_ascii_lowercase();
    let wanted = found.as_ref().unwrap_or(&digits);
    let rows = inventory.rows();
    let row = rows.iter().find(|row| wanted.len() >= 8 && row.certificate.thumbprint.starts_with(wanted));
    let Some(row) = row else {
        return Err(found.map_or_else(Refusal::no, |thumbprint| {
            Refusal::no(format!("certificate {thumbprint} is damaged; remove it and import it again"))
        }));
    };
    let chain = row.certificate.chain.iter().filter_map(|link| CertificateFacts::read(link).ok());
    let pin = row.certificate.chain.first().and_then(certstore::pin);
    if args.json {
        let mut value = row.to_json(place.now);
        value["chain"] = chain
            .map(|link| {
                json!({ "subject": link.subject, "issuer": link.issuer, "serial": link.serial,
                "key": link.key, "thumbprint": link.thumbprint, "not_before": link.not_before,
                "not_after": link.not_after })
            })
            .collect();
        print_json(&value);
        return Ok(());
    }
    let mut text = row.to_text(place.now);
    text.extend(pin.map(|pin| format!("  {:<10} {pin}\n", "pin")));
    for link in chain {
        let rows = [
            ("issuer", link.issuer),
            ("serial", link.serial),
            ("key", link.key),
            ("validity", format!("{} to {}", link.not_before, link.not_after)),
        ];
        text.push_str(&block(&format!("chain: {}", link.subject), &rows));
    }
    print_out(text.as_bytes());
    Ok(())
}
