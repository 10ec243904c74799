//! Attributes as people write them: `Name = value`, `Name:tag = value`.

use crate::failure::Failure;
use radius_wire::dictionary::{Attribute, Dictionary};
use radius_wire::{Hide, Question};
use zeroize::Zeroizing;

/// Attributes of one question; a packet has no room for more.
const MAX_GIVEN: usize = 200;

/// An attribute that was given on the command line.
pub struct Given {
    attribute: Attribute,
    tag: Option<u8>,
    value: Zeroizing<Vec<u8>>,
}

/// Reads all of them.
///
/// # Errors
/// A sentence that quotes the one that is wrong and names the nearest right attribute.
pub fn parse_all(texts: &[String], dictionary: &Dictionary) -> Result<Vec<Given>, Failure> {
    if texts.len() > MAX_GIVEN {
        return Err(Failure::usage(format!("more than {MAX_GIVEN} attributes")));
    }
    texts
        .iter()
        .map(|text| {
            parse(text, dictionary)
                .map_err(|reason| Failure::usage(format!("--attribute '{text}': {reason}")))
        })
        .collect()
}

fn parse(text: &str, dictionary: &Dictionary) -> Result<Given, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write 'Name = value', as in 'NAS-Port = 3'")?;
    // People paste 'Name := value' and 'Name += value' from group rules.
    let name = name.trim_end_matches([':', '+']).trim();
    let (name, tag) = match name.rsplit_once(':') {
        None => (name, None),
        Some((name, tag)) => (
            name,
            Some(
                tag.parse::<u8>()
                    .ok()
                    .filter(|tag| *tag <= 0x1f)
                    .ok_or_else(|| format!("'{tag}' is not a tag; tags go from 0 to 31"))?,
            ),
        ),
    };
    let attribute =
        dictionary
            .resolve(name)
            .ok_or_else(|| match dictionary.nearest_name(name) {
                Some(near) => format!("unknown attribute '{name}'; did you mean '{near}'?"),
                None => format!("unknown attribute '{name}'"),
            })?;
    if !attribute.is_on_wire() {
        return Err(format!(
            "{} is a word of the server's own; it cannot be sent",
            attribute.name()
        ));
    }
    let value = value.trim();
    let value = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value);
    Ok(Given {
        value: Zeroizing::new(attribute.encode_value(value).map_err(|e| e.to_string())?),
        attribute: attribute.into_owned(),
        tag,
    })
}

impl Given {
    /// The dictionary's name.
    pub fn name(&self) -> &str {
        self.attribute.name()
    }

    /// Puts it into a question; a value that travels hidden is hidden when the question is sealed.
    ///
    /// # Errors
    /// It does not fit.
    pub fn put(&self, question: &mut Question) -> Result<(), Failure> {
        let hide = self.attribute.hide();
        if hide != Hide::No {
            let tag = self.attribute.flags().tagged.then(|| self.tag.unwrap_or(0));
            question.put_hidden(
                self.attribute.vendor(),
                self.attribute.number(),
                tag,
                hide,
                &self.value,
            );
            return Ok(());
        }
        let mut octets = Vec::new();
        self.attribute
            .append(self.tag, &self.value, &mut octets)
            .map_err(|e| Failure::usage(format!("--attribute {}: {e}", self.name())))?;
        question.put_attributes(&octets);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use radius_wire::{Code, Packet, Secret};

    fn check(text: &str, expect: Result<(u8, &[u8]), &str>) {
        let given = parse(text, Dictionary::builtin());
        let sealed = given.map(|given| {
            let mut question = Question::new(Code::ACCESS_REQUEST, 1, [0; 16], Secret::new("s"));
            assert!(given.put(&mut question).is_ok());
            question.seal(false).expect("seal")
        });
        match (&sealed, expect) {
            (Ok(sealed), Ok((kind, value))) => {
                let packet = Packet::parse(sealed.octets()).expect("packet");
                assert_eq!(packet.first(kind), Some(value), "{text}");
            }
            (Err(reason), Err(expect)) => assert_eq!(reason, expect),
            (sealed, expect) => panic!("{text}: {:?}, not {expect:?}", sealed.as_ref().err()),
        }
    }

    #[test]
    fn names_values_and_tags_are_read() {
        check("NAS-Port = 3", Ok((5, &[0, 0, 0, 3])));
        check("user-name=\"b = c\"", Ok((1, b"b = c")));
        check("Service-Type := Framed-User", Ok((6, &[0, 0, 0, 2])));
        check("Tunnel-Type:1 = VLAN", Ok((64, &[1, 0, 0, 13])));
        check("Attr-200 = 0x00ff", Ok((200, &[0, 255])));
    }

    #[test]
    fn what_cannot_be_sent_says_why() {
        check(
            "NAS-Port",
            Err("write 'Name = value', as in 'NAS-Port = 3'"),
        );
        check(
            "User-Nmae = x",
            Err("unknown attribute 'User-Nmae'; did you mean 'User-Name'?"),
        );
        check(
            "Tunnel-Type:99 = VLAN",
            Err("'99' is not a tag; tags go from 0 to 31"),
        );
    }
}
