//! Families of NASes: whose dialect a device speaks, where the standard attributes do not reach.

use std::fmt;

macro_rules! families {
    ($($variant:ident = $word:literal $(| $other:literal)*: $about:literal;)+) => {
        /// A family.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Family {
            $(#[doc = $about] $variant,)+
        }

        impl Family {
            /// All of them.
            pub const ALL: &'static [Family] = &[$(Family::$variant),+];

            /// The word in the table of NASes.
            pub fn word(self) -> &'static str {
                match self { $(Family::$variant => $word,)+ }
            }

            /// For people.
            pub fn about(self) -> &'static str {
                match self { $(Family::$variant => $about,)+ }
            }

            /// The family of a word, or of another name that people use for it.
            pub fn from_word(word: &str) -> Option<Family> {
                match word { $($word $(| $other)* => Some(Family::$variant),)+ _ => None }
            }
        }
    };
}

families! {
    Generic = "generic" | "other" | "":
        "Any NAS: standard attributes, and WISPr's for bandwidth.";
    Mikrotik = "mikrotik" | "routeros":
        "MikroTik RouterOS: hotspot, PPPoE, wireless.";
    Coova = "coova" | "coovachilli" | "chillispot":
        "CoovaChilli and ChilliSpot.";
    Uspot = "uspot":
        "uspot, OpenWrt's captive portal.";
    Hostapd = "hostapd" | "openwrt":
        "hostapd, and access points built on it.";
    Pfsense = "pfsense" | "opnsense":
        "pfSense and OPNsense captive portal.";
    Omada = "omada" | "tplink" | "tp-link":
        "TP-Link Omada.";
    Unifi = "unifi" | "ubiquiti":
        "Ubiquiti UniFi.";
    Ruckus = "ruckus":
        "Ruckus SmartZone and Unleashed.";
    Aruba = "aruba" | "hpe":
        "HPE Aruba.";
    Cisco = "cisco" | "airespace":
        "Cisco IOS and wireless controllers.";
    Meraki = "meraki":
        "Cisco Meraki.";
    Cambium = "cambium":
        "Cambium cnMaestro.";
    Huawei = "huawei":
        "Huawei BRAS and access controllers.";
    H3c = "h3c":
        "H3C.";
    Nomadix = "nomadix":
        "Nomadix gateways.";
    Extreme = "extreme":
        "Extreme Networks EXOS.";
    Aerohive = "aerohive":
        "Extreme IQ Engine, formerly Aerohive.";
    Fortigate = "fortigate" | "fortinet":
        "Fortinet FortiGate.";
    Juniper = "juniper" | "erx":
        "Juniper MX and ERX.";
}

const _: () = assert!(Family::ALL.len() == COUNT);

/// How many families there are.
pub const COUNT: usize = 20;

impl Family {
    /// The family that a NAS's row names; [`Family::Generic`] for a word that is none.
    pub fn of_word(word: &str) -> Family {
        Family::from_word(word).unwrap_or(Family::Generic)
    }

    /// Its place in a list of all.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_by_their_words_and_lie_in_order() {
        for (index, family) in Family::ALL.iter().enumerate() {
            assert_eq!(Family::from_word(family.word()), Some(*family));
            assert_eq!(family.index(), index);
        }
        assert_eq!(Family::from_word("routeros"), Some(Family::Mikrotik));
        assert_eq!(Family::of_word("toaster"), Family::Generic);
    }
}
