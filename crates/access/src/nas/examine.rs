//! What a NAS may be: the rules that hold before a row is written.

use super::{
    MAX_IDENTIFIER_OCTETS, MAX_NAME_CHARS, MAX_REJECT_DELAY_MS, MAX_ROUTES, Nas, NasId, NewNas,
    Route, RouteKind,
};
use kernel::{Error, Kernel};

/// Longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1_000;
/// Longest of the small words (short name, type, family, …), in characters.
const MAX_WORD_CHARS: usize = 64;

/// The NAS that is to be added, not examined yet.
pub(super) fn fresh(kernel: &Kernel, new: &NewNas) -> Result<Nas, Error> {
    let now = kernel.now();
    let identifier = new
        .identifier
        .clone()
        .filter(|identifier| !identifier.is_empty());
    let name = match (new.name.trim(), new.network, &identifier) {
        ("", Some(network), _) => network.to_string(),
        ("", None, Some(identifier)) => identifier.chars().take(MAX_NAME_CHARS).collect(),
        (name, ..) => name.to_owned(),
    };
    Ok(Nas {
        id: NasId(kernel.new_uuid()),
        organisation: new.organisation,
        name,
        short_name: new.short_name.clone(),
        port_type: new.port_type.clone(),
        family: new.family.clone(),
        network: new.network,
        identifier,
        message_authenticator: new.message_authenticator,
        signs_replies: new.signs_replies,
        limits_proxy_state: new.limits_proxy_state,
        reject_delay_ms: new.reject_delay_ms,
        flips_octets: new.flips_octets,
        is_enabled: true,
        ports: new.ports,
        server: new.server.clone(),
        community: new.community.clone(),
        description: new.description.clone(),
        coa_port: new.coa_port,
        restarted_at: None,
        routes: Vec::new(),
        created: now,
        modified: now,
    })
}

/// Refuses what a NAS cannot be.
pub(super) fn examine(nas: &Nas) -> Result<(), Error> {
    let refuse = |field: &str, reason: String| {
        Err(Error::Invalid(format!(
            "NAS '{}': {field}: {reason}",
            nas.name
        )))
    };
    if nas.network.is_none() && nas.identifier.is_none() {
        return refuse(
            "network",
            "give an address, a network, or an identifier to know it by".into(),
        );
    }
    if nas.name.is_empty() {
        return refuse("name", "it is empty".into());
    }
    let texts = [
        ("name", nas.name.as_str(), MAX_NAME_CHARS),
        ("short name", nas.short_name.as_str(), MAX_WORD_CHARS),
        ("type", nas.port_type.as_str(), MAX_WORD_CHARS),
        ("family", nas.family.as_str(), MAX_WORD_CHARS),
        (
            "server",
            nas.server.as_deref().unwrap_or_default(),
            MAX_WORD_CHARS,
        ),
        (
            "community",
            nas.community.as_deref().unwrap_or_default(),
            MAX_WORD_CHARS,
        ),
        (
            "description",
            nas.description.as_str(),
            MAX_DESCRIPTION_CHARS,
        ),
        (
            "identifier",
            nas.identifier.as_deref().unwrap_or_default(),
            MAX_IDENTIFIER_OCTETS,
        ),
    ];
    for (field, text, most) in texts {
        if text.chars().count() > most {
            return refuse(field, format!("it has more than {most} characters"));
        }
        if text
            .chars()
            .any(|c| c.is_control() && !(field == "description" && c == '\n'))
        {
            return refuse(field, "it has control characters".into());
        }
    }
    if nas
        .identifier
        .as_ref()
        .is_some_and(|text| text.len() > MAX_IDENTIFIER_OCTETS)
    {
        return refuse(
            "identifier",
            format!("it has more than {MAX_IDENTIFIER_OCTETS} octets"),
        );
    }
    if nas.reject_delay_ms > MAX_REJECT_DELAY_MS {
        return refuse(
            "delay of a refusal",
            format!("it is more than {MAX_REJECT_DELAY_MS} ms, which no NAS waits for"),
        );
    }
    if nas.coa_port == 0 {
        return refuse("CoA port", "it is 0".into());
    }
    Ok(())
}

/// Refuses routes that lead nowhere or twice; realms in small letters.
pub(super) fn clean_routes(routes: Vec<Route>) -> Result<Vec<Route>, Error> {
    if routes.len() > MAX_ROUTES {
        return Err(Error::Invalid(format!(
            "routes: there are more than {MAX_ROUTES}"
        )));
    }
    let mut clean: Vec<Route> = Vec::with_capacity(routes.len());
    for mut route in routes {
        if route.kind == RouteKind::Realm {
            route.value = route.value.trim().to_lowercase();
        }
        let value = &route.value;
        if value.is_empty()
            || value.len() > MAX_IDENTIFIER_OCTETS
            || value.chars().any(char::is_control)
        {
            return Err(Error::Invalid(format!(
                "route by {}: its value has 1 to {MAX_IDENTIFIER_OCTETS} octets and no control characters",
                route.kind.word()
            )));
        }
        if clean
            .iter()
            .any(|known| (known.kind, &known.value) == (route.kind, value))
        {
            return Err(Error::Invalid(format!(
                "route by {} '{value}' is given twice",
                route.kind.word()
            )));
        }
        clean.push(route);
    }
    Ok(clean)
}

/// Network and identifier as the table compares them.
pub(super) fn place_of(nas: &Nas) -> (String, String) {
    (
        nas.network
            .map(|network| network.canonical())
            .unwrap_or_default(),
        nas.identifier.clone().unwrap_or_default(),
    )
}
