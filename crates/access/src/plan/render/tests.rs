use super::*;
use radius_wire::{Code, Reply};

fn terms() -> Terms {
    Terms {
        rate_up: Some(2_000_000),
        rate_down: Some(10_500_000),
        vlan: Some(7),
        role: Some("guests".into()),
        redirect_url: Some("https://portal.example/".into()),
        redirect_acl: Some("walled".into()),
        idle_seconds: Some(600),
        interim_seconds: Some(300),
        ..Terms::default()
    }
}

fn shown(list: &ReplyList) -> Vec<String> {
    list.iter()
        .map(|item| format!("{} {}", item.name(), item.shown_value()))
        .collect()
}

/// Everybody's, then what is expected of one family behind it.
#[test]
fn each_family_is_told_in_its_own_attributes_and_in_no_other_vendors() {
    let tunnel = [
        "Tunnel-Type VLAN",
        "Tunnel-Medium-Type IEEE-802",
        "Tunnel-Private-Group-Id 7",
    ];
    let tunnel: &[&str] = &tunnel;
    let table: [(Family, Vec<&[&str]>); 8] = [
        (
            Family::Generic,
            vec![
                &[
                    "WISPr-Bandwidth-Max-Up 2000000",
                    "WISPr-Bandwidth-Max-Down 10500000",
                ],
                tunnel,
                &[
                    "Filter-Id guests",
                    "WISPr-Redirection-URL https://portal.example/",
                ],
            ],
        ),
        (
            Family::Mikrotik,
            vec![
                &[
                    "Mikrotik-Rate-Limit 2M/10500k",
                    "Mikrotik-Wireless-VLANID 7",
                    "Mikrotik-Wireless-VLANID-Type 802.1q",
                ],
                tunnel,
                &[
                    "Mikrotik-Group guests",
                    "WISPr-Redirection-URL https://portal.example/",
                ],
            ],
        ),
        (
            Family::Coova,
            vec![&[
                "ChilliSpot-Bandwidth-Max-Up 2000",
                "ChilliSpot-Bandwidth-Max-Down 10500",
                "ChilliSpot-VLAN-Id 7",
                "Filter-Id guests",
                "WISPr-Redirection-URL https://portal.example/",
            ]],
        ),
        (
            Family::Unifi,
            vec![
                &["UBNT-Data-Rate-DL 10500000", "UBNT-Data-Rate-UL 2000000"],
                tunnel,
                &[
                    "Filter-Id guests",
                    "WISPr-Redirection-URL https://portal.example/",
                ],
            ],
        ),
        (
            Family::Aruba,
            vec![
                tunnel,
                &[
                    "Aruba-User-Role guests",
                    "Aruba-Captive-Portal-URL https://portal.example/",
                ],
            ],
        ),
        (
            Family::Cisco,
            vec![
                &[
                    "Airespace-Data-Bandwidth-Average-Contract 10500",
                    "Airespace-Data-Bandwidth-Average-Contract-Upstream 2000",
                ],
                tunnel,
                &[
                    "Airespace-Guest-Role-Name guests",
                    "Cisco-AVPair url-redirect=https://portal.example/",
                    "Cisco-AVPair url-redirect-acl=walled",
                ],
            ],
        ),
        (
            Family::Huawei,
            vec![
                &[
                    "Huawei-Input-Average-Rate 2000000",
                    "Huawei-Output-Average-Rate 10500000",
                ],
                tunnel,
                &[
                    "Filter-Id guests",
                    "Huawei-PortalURL https://portal.example/",
                ],
            ],
        ),
        (
            Family::Ruckus,
            vec![
                &[
                    "WISPr-Bandwidth-Max-Up 2000000",
                    "WISPr-Bandwidth-Max-Down 10500000",
                ],
                tunnel,
                &[
                    "Ruckus-User-Groups guests",
                    "Ruckus-Wispr-Redirect-Policy walled",
                ],
            ],
        ),
    ];
    for (family, expect) in table {
        let mut all = vec!["Idle-Timeout 600", "Acct-Interim-Interval 300"];
        all.extend(expect.concat());
        assert_eq!(shown(&fixed(&terms(), family)), all, "{family}");
    }
}

#[test]
fn every_family_can_be_told_everything_in_one_packet() {
    for family in Family::ALL {
        let mut reply = Reply::new(Code::ACCESS_ACCEPT);
        fixed(&terms(), *family)
            .render(&mut reply)
            .unwrap_or_else(|fault| panic!("{family}: {fault}"));
    }
}

#[test]
fn a_burst_is_written_as_routeros_reads_it() {
    let mut terms = Terms {
        rate_up: Some(1_000_000),
        rate_down: Some(4_000_000),
        burst_down: Some(8_000_000),
        burst_seconds: Some(10),
        ..Terms::default()
    };
    assert_eq!(
        mikrotik_rate(&terms).as_deref(),
        Some("1M/4M 1M/8M 1M/4M 10/10")
    );
    terms.burst_down = None;
    terms.rate_up = None;
    assert_eq!(mikrotik_rate(&terms).as_deref(), Some("0/4M"));
}

fn told(left: Octets, family: Family) -> Vec<(u32, u32, u32)> {
    let told = quota(left, family).into_iter();
    told.map(|(attr, value)| (attr.vendor, attr.number, value))
        .collect()
}

#[test]
fn sixty_four_bits_are_split_and_a_device_without_gigawords_is_told_what_it_can_hold() {
    let total = |total| Octets {
        total: Some(total),
        ..Octets::default()
    };
    let gib5 = 5u64 << 30;
    let low = (gib5 & 0xffff_ffff) as u32;
    assert_eq!(
        told(total(gib5), Family::Mikrotik),
        [(14_988, 18, 1), (14_988, 17, low)]
    );
    assert_eq!(
        told(total(gib5), Family::Coova),
        [(14_559, 23, 1), (14_559, 3, low)]
    );
    assert_eq!(told(total(1_000), Family::Coova), [(14_559, 3, 1_000)]);
    assert_eq!(
        told(total(0), Family::Coova),
        [(14_559, 3, 1)],
        "0 would be no limit"
    );
    let omada = told(total(gib5), Family::Omada);
    assert_eq!(omada, [(11_863, 1, u32::MAX), (11_863, 2, u32::MAX)]);
    let both = Octets {
        up: Some(100),
        down: None,
        total: Some(300),
    };
    assert_eq!(
        told(both, Family::Omada),
        [(11_863, 1, 100), (11_863, 2, 300)]
    );
    assert_eq!(told(both, Family::Aruba), []);
    assert_eq!(
        told(both, Family::Generic),
        [(14_559, 1, 100), (14_559, 3, 300)]
    );
    assert_eq!(told(Octets::default(), Family::Mikrotik), []);
}
