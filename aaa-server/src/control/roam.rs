//! Devices that roam: one that is online, let in by whatever proof, goes on at another access point by its address alone,
//! where its organisation allows that.
//!
//! Only within the organisation, only while a session of that very device is open and reports, and only as the NAS vouches
//! for the address itself: with the address as password, or with none. A device that nobody let in is **never** let in here.

use crate::door::Shared;
use access::facts::Facts;
use access::nas_match::NasEntry;
use access::question::Asker;
use access::register::ReportOwner;
use identity::MembershipId;
use kernel::{OrganisationId, Time};
use proof::mac::Mac;

/// A session that was granted begins within this time.
const SOON_SECONDS: i64 = 300;
/// Where a NAS was never heard to report in between, a session counts for three times this: a device that is long gone lets
/// nobody in who shows its address.
const REPORTS_SECONDS: u32 = 1_200;

impl Shared {
    /// The facts about a device that roams, in the place of those about nobody.
    pub fn roaming(&self, now: Time, asker: &Asker<'_>, facts: &Facts) -> Option<Facts> {
        let organisation = facts.organisation.as_ref()?;
        if !organisation.lets_devices_roam || facts.member().is_some() {
            return None;
        }
        let (membership, person) = self.who_roams(now, organisation.id, asker.mac_login?, false)?;
        let found = self.register.facts_of(person, membership)?;
        Some(Facts {
            client: facts.client.clone(),
            by_mac: true,
            lock: facts.lock,
            ..found
        })
    }

    /// Whose an accounting report is that names a device which roams.
    pub fn owner_of_roaming(
        &self,
        now: Time,
        nas: &NasEntry,
        asker: &Asker<'_>,
        mut owner: ReportOwner,
    ) -> ReportOwner {
        let (None, Some(mac)) = (owner.membership, asker.mac_login) else {
            return owner;
        };
        let policy = self.register.policy();
        let roams = policy
            .organisations
            .get(&owner.organisation)
            .is_some_and(|organisation| organisation.lets_devices_roam);
        drop(policy);
        if roams && nas.nas.is_enabled {
            owner.membership = self
                .who_roams(now, owner.organisation, mac, true)
                .map(|(membership, _)| membership);
        }
        owner
    }

    fn who_roams(
        &self,
        now: Time,
        organisation: OrganisationId,
        mac: Mac,
        was_let_in: bool,
    ) -> Option<(MembershipId, identity::PersonId)> {
        let device = self.usage.live.device(&mac.to_string());
        let membership = self.grants.of_device(device)?;
        let granted = self.grants.get(membership, device)?;
        // Its session at the access point that it left may have ended before this one is reported to begin.
        let mut is_online = was_let_in && now.seconds_since(granted.at) < SOON_SECONDS;
        self.usage.live.visit(membership, |session, is_open| {
            is_online |= is_open
                && session.device == device
                && session.organisation == organisation
                && !session.is_stale(now, Some(REPORTS_SECONDS));
        });
        is_online.then_some((MembershipId(membership), granted.person))
    }
}
