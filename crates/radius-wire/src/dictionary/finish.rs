//! Named values, shared values and aliases: what may name an attribute before its line,
//! and so waits for the last one.
//!
//! Shared with `build.rs`. It must never change what an attribute's own line said.

use std::collections::HashMap;

use super::compile::{Compiler, DictionaryError, LaterValue, MAX_VALUES, Place};
use super::table::{Carrier, Dictionary};
use super::types::{DataType, VendorFormat};

impl Compiler<'_> {
    pub(super) fn value_line(
        &mut self,
        attribute: &str,
        name: &str,
        number: u64,
    ) -> Result<(), DictionaryError> {
        self.value_count += 1;
        if self.value_count > MAX_VALUES {
            return self.error(format!("more than {MAX_VALUES} values"));
        }
        let Some(at) = self
            .dictionary
            .by_name
            .get(&attribute.to_ascii_lowercase())
            .copied()
        else {
            self.later_values.push(LaterValue {
                attribute: attribute.to_owned(),
                name: name.to_owned(),
                number,
                place: self.place.clone(),
            });
            return Ok(());
        };
        self.value(at, name, number, true)
    }

    /// Adds a named value. `shown` names replace older ones of the same number.
    fn value(
        &mut self,
        at: usize,
        name: &str,
        number: u64,
        shown: bool,
    ) -> Result<(), DictionaryError> {
        let Some(attribute) = self.dictionary.attributes.get_mut(at) else {
            return self.error("attribute table is inconsistent");
        };
        let (data_type, holder) = (attribute.data_type, attribute.name.clone());
        // Files in the wild name the numbers inside opaque octets: kept as information.
        let opaque = data_type == DataType::Octets;
        if !data_type.is_number() && !opaque {
            return self.error(format!(
                "{holder} has no numbers for values, its type is {data_type:?}"
            ));
        }
        if number > data_type.greatest() && !opaque {
            return self.error(format!("value {number} is too large for {holder}"));
        }
        let lower = name.to_ascii_lowercase();
        let own = self.own_values.entry(at).or_default();
        if let Some((_, known)) = attribute.values.by_name.get(&lower)
            && *known != number
        {
            let known = *known;
            if own.contains(&lower) {
                return self.error(format!("value {name} of {holder} is {known} and {number}"));
            }
            // Redefined over the base: the number must not keep a name that moved.
            if attribute
                .values
                .by_number
                .get(&known)
                .is_some_and(|n| n.eq_ignore_ascii_case(name))
            {
                attribute.values.by_number.remove(&known);
            }
        }
        own.insert(lower.clone());
        attribute
            .values
            .by_name
            .insert(lower, (name.to_owned(), number));
        if shown {
            attribute.values.by_number.insert(number, name.to_owned());
        } else {
            attribute
                .values
                .by_number
                .entry(number)
                .or_insert_with(|| name.to_owned());
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Dictionary, DictionaryError> {
        for later in std::mem::take(&mut self.later_values) {
            self.place = later.place;
            let Some(at) = self
                .dictionary
                .by_name
                .get(&later.attribute.to_ascii_lowercase())
                .copied()
            else {
                // A name for a value of nothing does no harm, and must not cost the rest of the file.
                let text = format!(
                    "VALUE {}: {}",
                    later.name,
                    self.unknown_attribute(&later.attribute)
                );
                let place = self.place.clone();
                self.warn(&place, text);
                continue;
            };
            // Written before its attribute it is an older name: understood, not shown.
            self.value(at, &later.name, later.number, false)?;
        }
        for (attribute, source, place) in std::mem::take(&mut self.later_shares) {
            self.place = place;
            self.share_values(&attribute, &source)?;
        }
        for (name, target, place) in std::mem::take(&mut self.later_aliases) {
            self.alias(&name, &target, &place)?;
        }
        // A vendor's format may be stated after its attributes, or restated.
        let formats: HashMap<u32, VendorFormat> = self
            .dictionary
            .vendors
            .iter()
            .map(|v| (v.number, v.format))
            .collect();
        for attribute in &mut self.dictionary.attributes {
            if let Carrier::Vendor { vendor, format, .. } = &mut attribute.carrier
                && let Some(stated) = formats.get(vendor)
            {
                *format = *stated;
            }
        }
        Ok(self.dictionary)
    }

    fn share_values(&mut self, attribute: &str, source: &str) -> Result<(), DictionaryError> {
        let (from, to) = (self.known(source)?, self.known(attribute)?);
        if from.data_type != to.data_type {
            return self.error(format!("{attribute} and {source} are of different types"));
        }
        if !to.values.is_empty() {
            return self.error(format!("{attribute} has values of its own"));
        }
        if from.values.is_empty() {
            return self.error(format!("{source} has no values of its own to share"));
        }
        let values = from.values.clone();
        let at = self
            .dictionary
            .by_name
            .get(&attribute.to_ascii_lowercase())
            .copied();
        if let Some(slot) = at.and_then(|at| self.dictionary.attributes.get_mut(at)) {
            slot.values = values;
        }
        Ok(())
    }

    /// Adds a second name. A target that is not there is only warned about: alias
    /// files name whole trees, of which a site may load a part.
    fn alias(&mut self, name: &str, target: &str, place: &Place) -> Result<(), DictionaryError> {
        let names = &self.dictionary.by_name;
        let lower = target.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('.').collect();
        let at = names.get(&lower).or_else(|| match parts.as_slice() {
            // Vendor-Specific.Cisco.AVPair is Cisco-AVPair here.
            [.., vendor, last] => names
                .get(&format!("{vendor}-{last}"))
                .or_else(|| names.get(*last)),
            _ => None,
        });
        let Some(at) = at.copied() else {
            self.warn(
                place,
                format!("ALIAS {name}: {}", self.unknown_attribute(target)),
            );
            return Ok(());
        };
        let key = name.to_ascii_lowercase();
        match self.dictionary.by_name.get(&key) {
            Some(known) if *known != at && self.own_names.contains(&key) => {
                return Err(place.error(format!("ALIAS {name}: the name is taken")));
            }
            Some(_) => {}
            None => {
                self.dictionary.by_name.insert(key, at);
            }
        }
        Ok(())
    }
}
