//! Accounting: a report is answered once it is durable here, and not before (RFC 2866 §3).
//!
//! The receive thread hands the report to the journal and goes on; the answer leaves when the journal has synced the
//! batch it is in. A journal that is full or fails is silence: the NAS keeps the report and tries again.

use crate::answer;
use crate::door::{Acknowledgement, Desk, Shared, Ticket};
use crate::socket::Peer;
use access::nas_match::NasEntry;
use access::question::Asker;
use access::word::Dropped;
use journal::AppendError;
use kernel::Time;
use radius_wire::{Code, Request};
use std::sync::Arc;
use usage::entry::{ACCOUNTING_REPORT, Entry};
use usage::report::Report;

/// Takes a verified Accounting-Request.
pub fn receive(
    shared: &Shared,
    ticket: Ticket,
    desk: &mut Desk,
    request: &Request<'_>,
    nas: &Arc<NasEntry>,
    now: Time,
    peer: Peer,
) {
    let packet = request.packet();
    let Some(journal) = shared.journal.get() else {
        return shared.give_up(&ticket, now, Dropped::NotReady, &packet, nas, peer);
    };
    // Whose report it is cannot be told before the people are known, and is not told again later.
    if !shared.register.is_ready() {
        return shared.give_up(&ticket, now, Dropped::NotReady, &packet, nas, peer);
    }
    let owner = shared.register.owner_of_report(nas, &packet);
    let owner = shared.owner_of_roaming(now, nas, &Asker::of(&packet), owner);
    let entry = Entry {
        received: now,
        nas: nas.nas.id.0,
        organisation: owner.organisation,
        membership: owner.membership.map(|id| id.0),
        group: owner.group,
        source: peer.address.ip(),
        flips_octets: nas.nas.flips_octets,
        packet: packet.octets().to_vec(),
    };
    let status = match Report::check(packet) {
        Ok(status) => status,
        Err(unreadable) => {
            tracing::info!(nas = %nas.nas.name, "accounting report dropped: {unreadable}");
            return shared.give_up(&ticket, now, Dropped::UnreadableReport, &packet, nas, peer);
        }
    };
    // What is open and how much was used is right for every reader here at once; the rows follow, and the answer waits for
    // none of it. A restart counts even if the report is not kept: it is repeated then.
    let report = Report::read(&entry).ok();
    if let Some(report) = report.as_ref().filter(|_| status.is_about_nas()) {
        shared.usage.live.heard(report);
    }
    desk.reply.reset(Code::ACCOUNTING_RESPONSE);
    if answer::seal(desk, request, nas).is_err() {
        // Only Proxy-States that fill a whole packet can do this.
        return shared.give_up(&ticket, now, Dropped::ReplyTooLong, &packet, nas, peer);
    }
    let done = Acknowledgement::new(ticket, nas.nas.id, &desk.octets);
    if let Err(refused) = journal.try_append(ACCOUNTING_REPORT, entry.encode(), done) {
        let word = match refused.reason {
            AppendError::Full => Dropped::JournalFull,
            AppendError::Busy => Dropped::Shed,
            _ => Dropped::JournalFailed,
        };
        return shared.forget(&refused.token, word);
    }
    if let Some(report) = report.filter(|_| !status.is_about_nas()) {
        shared.usage.live.heard(&report);
    }
}
