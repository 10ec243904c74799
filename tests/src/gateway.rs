//! Gateways of every family: they let devices on, count, report, and obey Disconnect and CoA the way their vendors' devices
//! do (RFC 5176, and what is known of each family).
//!
//! A gateway has an address of the loopback network of its own. Its other half listens on a thread: it believes only what
//! is signed with its secret and is not old, and takes only what its family takes. It must **never** be kinder than the
//! real thing: what a family refuses or ignores is refused or ignored here.

use crate::house::Server;
use crate::nas::{Nas, SECRET};
use access::family::Family;
use radius_wire::attrs::acct_status_type::{INTERIM_UPDATE, START, STOP};
use radius_wire::authenticator::{
    check_request_message_authenticator, request_authenticator_holds, sign_response,
};
use radius_wire::{Code, Packet, Question, Secret, attrs};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How old a question may be (RFC 5176 §6.3 recommends five minutes).
const MAX_AGE_SECONDS: i64 = 300;
/// How often the listener looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// Unsupported-Attribute, Missing-Attribute, Unsupported-Service, Session-Context-Not-Found (RFC 5176 §3.5).
const UNSUPPORTED_ATTRIBUTE: u32 = 401;
const MISSING_ATTRIBUTE: u32 = 402;
const UNSUPPORTED_SERVICE: u32 = 405;
const NOT_FOUND: u32 = 503;

/// What a device on a gateway has been given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Bits a second from the device.
    pub rate_up: Option<u64>,
    /// Bits a second to it.
    pub rate_down: Option<u64>,
    /// Octets both ways.
    pub octets: Option<u64>,
    /// Seconds.
    pub seconds: Option<u32>,
    /// Its role or filter.
    pub role: Option<String>,
}

/// A device that is online.
#[derive(Debug, Clone)]
pub struct Online {
    /// User-Name.
    pub user: String,
    /// Its address, as this family writes it.
    pub device: String,
    /// Acct-Session-Id.
    pub session: String,
    /// Framed-IP-Address.
    pub ip: Ipv4Addr,
    /// Cisco's own id.
    pub audit: String,
    /// What it has been given.
    pub given: Given,
    /// How often that was changed while it was online.
    pub changes: u32,
    seconds: u32,
    up: u64,
    down: u64,
}

#[derive(Default)]
struct State {
    online: Vec<Online>,
    /// Sessions so far.
    begun: u32,
    /// What was asked, and what was said: code, Error-Cause.
    log: Vec<(Code, Code, Option<u32>)>,
}

/// A gateway.
pub struct Gateway {
    /// Whose dialect it speaks.
    pub family: Family,
    /// Its address.
    pub address: IpAddr,
    /// Where it listens for Disconnect and CoA.
    pub control: SocketAddr,
    nas: Nas,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket at an address of the loopback network, before the server knows of it.
///
/// # Panics
/// When the address cannot be bound.
pub fn control_socket(address: IpAddr) -> UdpSocket {
    UdpSocket::bind((address, 0)).unwrap_or_else(|e| panic!("{address}: {e}"))
}

impl Gateway {
    /// A gateway whose control socket was bound before.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn new(server: &Server, family: Family, control: UdpSocket) -> Gateway {
        let address = control.local_addr().expect("it is bound");
        let nas = Nas::at(server, address.ip(), SECRET);
        let reporter = Nas::at(server, address.ip(), SECRET);
        let state = Arc::new(Mutex::new(State::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (shared, over) = (state.clone(), is_over.clone());
        let listener =
            std::thread::spawn(move || listen(family, &control, &reporter, &shared, &over));
        Gateway {
            family,
            address: address.ip(),
            control: address,
            nas,
            state,
            is_over,
            listener: Some(listener),
        }
    }

    /// A device's address as this family writes it.
    pub fn spelled(&self, mac: [u8; 6]) -> String {
        let parts: Vec<String> = mac.iter().map(|octet| format!("{octet:02X}")).collect();
        match self.family {
            Family::Mikrotik => parts.join(":"),
            Family::Cisco => parts.join("-").to_ascii_lowercase(),
            Family::Ruckus => parts.join("").to_ascii_lowercase(),
            _ => parts.join("-"),
        }
    }

    /// A device asks to come in. Whether it is let in; then its session begins.
    ///
    /// # Panics
    /// When no right answer comes.
    pub fn login(&self, user: &str, password: &str, mac: [u8; 6]) -> bool {
        self.login_before(user, password, mac, || {})
    }

    /// The same; something happens after it was let in and before its session is reported to begin.
    ///
    /// # Panics
    /// When no right answer comes.
    pub fn login_before(
        &self,
        user: &str,
        password: &str,
        mac: [u8; 6],
        meanwhile: impl FnOnce(),
    ) -> bool {
        let device = self.spelled(mac);
        let mut question = self.nas.pap(user, password);
        question
            .put_text(attrs::CALLING_STATION_ID, &device)
            .put_text(attrs::NAS_IDENTIFIER, self.family.word());
        let answer = self.nas.ask(question);
        if answer.code() != Code::ACCESS_ACCEPT {
            return false;
        }
        let given = read_given(self.family, answer.packet(), Given::default());
        meanwhile();
        let mut state = locked(&self.state);
        state.begun += 1;
        let number = state.begun;
        let online = Online {
            user: user.to_owned(),
            session: format!("{}-{}-{number}", self.family.word(), hex::encode(mac)),
            ip: Ipv4Addr::new(10, mac[4], mac[5], 7),
            audit: format!("audit-session-id={}{number:08x}", hex::encode(mac)),
            device,
            given,
            changes: 0,
            seconds: 0,
            up: 0,
            down: 0,
        };
        let report = report(self.family, &self.nas, self.address, &online, START);
        state.online.push(online);
        drop(state);
        self.nas.ask(report);
        true
    }

    /// A device used something: its session reports it.
    ///
    /// # Panics
    /// When it is not online.
    pub fn uses(&self, mac: [u8; 6], seconds: u32, up: u64, down: u64) {
        let report = {
            let mut state = locked(&self.state);
            let online = find(self, &mut state, mac).expect("it is online");
            online.seconds += seconds;
            online.up += up;
            online.down += down;
            let online = online.clone();
            report(
                self.family,
                &self.nas,
                self.address,
                &online,
                INTERIM_UPDATE,
            )
        };
        self.nas.ask(report);
    }

    /// A person logs out at the gateway's page.
    ///
    /// # Panics
    /// When the device is not online.
    pub fn logout(&self, mac: [u8; 6]) {
        let online = {
            let mut state = locked(&self.state);
            let device = self.spelled(mac);
            let place = state
                .online
                .iter()
                .position(|online| online.device == device);
            state.online.remove(place.expect("it is online"))
        };
        let report = report(self.family, &self.nas, self.address, &online, STOP);
        self.nas.ask(report);
    }

    /// A device that is online.
    pub fn online(&self, mac: [u8; 6]) -> Option<Online> {
        let mut state = locked(&self.state);
        find(self, &mut state, mac).map(|online| online.clone())
    }

    /// The device's session is lost: the gateway forgets it and says nothing.
    pub fn forgets(&self, mac: [u8; 6]) {
        let device = self.spelled(mac);
        locked(&self.state)
            .online
            .retain(|online| online.device != device);
    }

    /// What was asked of it so far, and what it said.
    pub fn log(&self) -> Vec<(Code, Code, Option<u32>)> {
        locked(&self.state).log.clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn find<'s>(gateway: &Gateway, state: &'s mut State, mac: [u8; 6]) -> Option<&'s mut Online> {
    let device = gateway.spelled(mac);
    state
        .online
        .iter_mut()
        .find(|online| online.device == device)
}

fn report(family: Family, nas: &Nas, address: IpAddr, online: &Online, status: u32) -> Question {
    let mut question = nas.report(status, &online.session, &online.user);
    let (low, high) = (
        |octets: u64| (octets & 0xffff_ffff) as u32,
        |octets: u64| (octets >> 32) as u32,
    );
    question
        .put_text(attrs::CALLING_STATION_ID, &online.device)
        .put_text(attrs::NAS_IDENTIFIER, family.word())
        .put(attrs::FRAMED_IP_ADDRESS, online.ip)
        .put(attrs::ACCT_SESSION_TIME, online.seconds)
        .put(attrs::ACCT_INPUT_OCTETS, low(online.up))
        .put(attrs::ACCT_INPUT_GIGAWORDS, high(online.up))
        .put(attrs::ACCT_OUTPUT_OCTETS, low(online.down))
        .put(attrs::ACCT_OUTPUT_GIGAWORDS, high(online.down));
    if let IpAddr::V4(address) = address {
        question.put(attrs::NAS_IP_ADDRESS, address);
    }
    if matches!(family, Family::Cisco | Family::Meraki) {
        question.put_text(attrs::cisco::AVPAIR, &online.audit);
    }
    question
}

/// What a packet gives, read as the family's devices read it.
fn read_given(family: Family, packet: Packet<'_>, before: Given) -> Given {
    use attrs::{airespace, aruba, chillispot, fortinet, mikrotik, ruckus, tplink, ubnt, wispr};
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let mut given = before;
    if let Some(seconds) = packet.get(attrs::SESSION_TIMEOUT) {
        given.seconds = Some(seconds);
    }
    if let Some(filter) = packet.get(attrs::FILTER_ID) {
        given.role = Some(text(filter));
    }
    let kilo = |rate: Option<u32>| rate.map(|rate| u64::from(rate) * 1_000);
    let plain = |rate: Option<u32>| rate.map(u64::from);
    let octets = |low: Option<u32>, high: Option<u32>| {
        low.map(|low| u64::from(low) | u64::from(high.unwrap_or(0)) << 32)
    };
    let (up, down, total) = match family {
        Family::Mikrotik => {
            let rates = packet.get(mikrotik::RATE_LIMIT).map(text).map(|text| {
                let first = text.split(' ').next().unwrap_or_default().to_owned();
                let (up, down) = first.split_once('/').expect("rx/tx");
                (routeros(up), routeros(down))
            });
            let total = octets(
                packet.get(mikrotik::TOTAL_LIMIT),
                packet.get(mikrotik::TOTAL_LIMIT_GIGAWORDS),
            );
            (rates.map(|r| r.0), rates.map(|r| r.1), total)
        }
        Family::Coova => (
            kilo(packet.get(chillispot::BANDWIDTH_MAX_UP)),
            kilo(packet.get(chillispot::BANDWIDTH_MAX_DOWN)),
            octets(
                packet.get(chillispot::MAX_TOTAL_OCTETS),
                packet.get(chillispot::MAX_TOTAL_GIGAWORDS),
            ),
        ),
        Family::Unifi => (
            packet.get(ubnt::DATA_RATE_UL),
            packet.get(ubnt::DATA_RATE_DL),
            None,
        ),
        Family::Cisco => (
            kilo(packet.get(airespace::DATA_BANDWIDTH_AVERAGE_CONTRACT_UPSTREAM)),
            kilo(packet.get(airespace::DATA_BANDWIDTH_AVERAGE_CONTRACT)),
            None,
        ),
        Family::Aruba | Family::Meraki => (None, None, None),
        Family::Omada => (
            plain(packet.get(wispr::BANDWIDTH_MAX_UP)),
            plain(packet.get(wispr::BANDWIDTH_MAX_DOWN)),
            // It counts each way by itself.
            plain(packet.get(tplink::XMIT_LIMIT)),
        ),
        _ => (
            plain(packet.get(wispr::BANDWIDTH_MAX_UP)),
            plain(packet.get(wispr::BANDWIDTH_MAX_DOWN)),
            None,
        ),
    };
    let role = match family {
        Family::Aruba => packet.get(aruba::USER_ROLE),
        Family::Ruckus => packet.get(ruckus::USER_GROUPS),
        Family::Fortigate => packet.get(fortinet::GROUP_NAME),
        Family::Cisco => packet.get(airespace::GUEST_ROLE_NAME),
        Family::Mikrotik => packet.get(mikrotik::GROUP),
        _ => None,
    };
    given.role = role.map(text).or(given.role);
    given.rate_up = up.or(given.rate_up);
    given.rate_down = down.or(given.rate_down);
    given.octets = total.or(given.octets);
    given
}

/// `10M`, `512k`.
fn routeros(rate: &str) -> u64 {
    let (number, size) = match rate.as_bytes().last() {
        Some(b'M') => (&rate[..rate.len() - 1], 1_000_000),
        Some(b'k') => (&rate[..rate.len() - 1], 1_000),
        _ => (rate, 1),
    };
    number.parse::<u64>().expect("a number") * size
}

fn listen(
    family: Family,
    socket: &UdpSocket,
    reporter: &Nas,
    state: &Mutex<State>,
    is_over: &AtomicBool,
) {
    socket
        .set_read_timeout(Some(LOOK))
        .expect("a time-out can be set");
    let address = socket.local_addr().expect("it is bound").ip();
    let secret = Secret::new(SECRET.as_bytes());
    let mut room = vec![0; 4_096];
    while !is_over.load(Ordering::Acquire) {
        let Ok((length, from)) = socket.recv_from(&mut room) else {
            continue;
        };
        let Ok(packet) = Packet::parse(&room[..length]) else {
            continue;
        };
        if !request_authenticator_holds(packet, &secret)
            || check_request_message_authenticator(packet, &secret) != Ok(true)
            || is_old(packet)
        {
            continue;
        }
        let mut ended = Vec::new();
        let verdict = {
            let mut state = locked(state);
            let verdict = obey(family, packet, &mut state.online, &mut ended);
            if let Some((code, cause)) = verdict {
                state.log.push((packet.code(), code, cause));
            }
            verdict
        };
        // Silence is an answer of some.
        let Some((code, cause)) = verdict else {
            continue;
        };
        let answer = answer(packet, code, cause, &secret);
        let _ = socket.send_to(&answer, from);
        for online in ended {
            let mut stop = report(family, reporter, address, &online, STOP);
            // Admin-Reset.
            stop.put(attrs::ACCT_TERMINATE_CAUSE, 6);
            reporter.ask(stop);
        }
    }
}

fn is_old(packet: Packet<'_>) -> bool {
    let now = kernel::Clock::now(&kernel::SystemClock).unix_seconds();
    packet
        .get(attrs::EVENT_TIMESTAMP)
        .is_none_or(|at| (now - i64::from(at)).abs() > MAX_AGE_SECONDS)
}

fn answer(packet: Packet<'_>, code: Code, cause: Option<u32>, secret: &Secret) -> Vec<u8> {
    let mut octets = vec![code.0, packet.identifier(), 0, 0];
    octets.extend(packet.authenticator());
    octets.extend([80, 18]);
    octets.extend([0; 16]);
    if let Some(cause) = cause {
        octets.extend([101, 6]);
        octets.extend(cause.to_be_bytes());
    }
    let length = u16::try_from(octets.len()).expect("a small packet");
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    sign_response(&mut octets, secret, packet.authenticator()).expect("it is one");
    octets
}

/// The attributes that hostapd takes in a Disconnect-Request: User-Name, NAS-IP-Address, Calling-Station-Id,
/// NAS-Identifier, Acct-Session-Id, Acct-Multi-Session-Id, Event-Timestamp, Message-Authenticator,
/// Chargeable-User-Identity, NAS-IPv6-Address.
const HOSTAPD_TAKES: [u8; 10] = [1, 4, 31, 32, 44, 50, 55, 80, 89, 95];

/// What a gateway does: its answer's code and Error-Cause; none where it keeps silent.
fn obey(
    family: Family,
    packet: Packet<'_>,
    online: &mut Vec<Online>,
    ended: &mut Vec<Online>,
) -> Option<(Code, Option<u32>)> {
    let is_change = packet.code() == Code::COA_REQUEST;
    let (ack, nak) = match is_change {
        true => (Code::COA_ACK, Code::COA_NAK),
        false => (Code::DISCONNECT_ACK, Code::DISCONNECT_NAK),
    };
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let user = packet.get(attrs::USER_NAME).map(text);
    let session = packet.get(attrs::ACCT_SESSION_ID).map(text);
    let device = packet.get(attrs::CALLING_STATION_ID).map(text);
    let ip = packet.get(attrs::FRAMED_IP_ADDRESS);
    let pairs: Vec<String> = packet.get_all(attrs::cisco::AVPAIR).map(text).collect();
    let audit = pairs
        .into_iter()
        .find(|pair| pair.starts_with("audit-session-id="));
    let no = |cause| Some((nak, Some(cause)));
    match family {
        Family::Coova if user.is_none() => return None,
        Family::Mikrotik if ip.is_none() && session.is_none() => return no(MISSING_ATTRIBUTE),
        Family::Hostapd if is_change => return no(UNSUPPORTED_SERVICE),
        Family::Hostapd
            if packet
                .attributes()
                .any(|attribute| !HOSTAPD_TAKES.contains(&attribute.kind)) =>
        {
            return no(UNSUPPORTED_ATTRIBUTE);
        }
        Family::Cisco | Family::Meraki if device.is_none() || audit.is_none() => {
            return no(MISSING_ATTRIBUTE);
        }
        Family::Aruba if device.is_none() && session.is_none() => return no(MISSING_ATTRIBUTE),
        Family::Ruckus if device.is_none() => return no(MISSING_ATTRIBUTE),
        Family::Fortigate if ip.is_none() || user.is_none() || session.is_none() => {
            return no(UNSUPPORTED_ATTRIBUTE);
        }
        // Their controllers change nothing in the middle of a session.
        Family::Omada | Family::Unifi if is_change => return no(UNSUPPORTED_SERVICE),
        _ => {}
    }
    let is_meant = |one: &Online| {
        user.as_ref().is_none_or(|user| *user == one.user)
            && session
                .as_ref()
                .is_none_or(|session| *session == one.session)
            && device.as_ref().is_none_or(|device| *device == one.device)
            && ip.is_none_or(|ip| ip == one.ip)
            && audit.as_ref().is_none_or(|audit| *audit == one.audit)
    };
    if !online.iter().any(is_meant) {
        // CoovaChilli says no reason.
        return Some((nak, (family != Family::Coova).then_some(NOT_FOUND)));
    }
    if is_change {
        for one in online.iter_mut().filter(|one| is_meant(one)) {
            one.given = read_given(family, packet, one.given.clone());
            one.changes += 1;
        }
    } else {
        ended.extend(online.extract_if(.., |one| is_meant(one)));
    }
    Some((ack, None))
}
