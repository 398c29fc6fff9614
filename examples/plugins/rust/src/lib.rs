//! Makes a HubSpot contact of a conversation's event.

use antar_sdk::serde::Serialize;
use antar_sdk::{Config, Event, Outcome, Problem, transform};

#[derive(Config)]
struct Settings {
    /// Where a phone number comes from that names no country: `ID`, or a calling code such as `62`.
    #[config(default = "ID")]
    country: String,
    /// HubSpot's internal name of the lead status.
    #[config(default = "NEW")]
    lead_status: String,
}

/// What `POST /crm/v3/objects/contacts` takes.
#[derive(Serialize)]
#[serde(crate = "antar_sdk::serde")]
struct Contact {
    properties: Properties,
}

#[derive(Serialize)]
#[serde(crate = "antar_sdk::serde")]
struct Properties {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    firstname: String,
    lastname: String,
    hs_lead_status: String,
}

/// Makes a HubSpot contact of a conversation's event.
#[transform]
fn hubspot_contact(event: Event, config: Settings) -> Result<Outcome, Problem> {
    let email = event.text("conversation.userData.email").map(|email| email.trim().to_lowercase());
    let email = email.filter(|email| email.contains('@'));
    let phone = event.phone("conversation.userData.phone", &config.country);
    if email.is_none() && phone.is_none() {
        return Ok(Outcome::drop("neither an e-mail address nor a phone number"));
    }
    let name = event.text("conversation.userData.name").unwrap_or_default();
    let (first, last) = name.trim().split_once(' ').unwrap_or((name.trim(), ""));
    let properties = Properties {
        email,
        phone,
        firstname: first.to_owned(),
        lastname: last.trim().to_owned(),
        hs_lead_status: config.lead_status,
    };
    Ok(Outcome::replace(Contact { properties }))
}

#[cfg(test)]
mod tests {
    use antar_sdk::testing::check_transform;

    use super::*;

    #[test]
    fn fixtures() {
        check_transform("fixtures", hubspot_contact);
    }
}
