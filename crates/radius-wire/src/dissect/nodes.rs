//! Octets of attributes become nodes.
//!
//! Every group of attributes is taken apart, put together again, and compared with what
//! came in. Only when the octets are the same is the reading believed; otherwise the
//! attribute is shown whole, as octets. That is what makes decoding reversible by
//! construction instead of by care.

use crate::attr::{Hide, MAX_TAG};
use crate::dictionary::{Attribute, DataType, Dictionary, Value, VendorFormat};
use crate::hide;
use crate::packet::RawAttribute;
use crate::secret::Secret;
use crate::vsa::{self, SubAttribute};

use super::assemble::Assembly;

/// Type of Vendor-Specific.
const VENDOR_SPECIFIC: u8 = 26;
/// Flag of long extended attributes: the value continues.
const MORE: u8 = 0x80;

/// One attribute as shown to people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The dictionary's name, or one that spells the numbers (`Attr-200`).
    pub name: String,
    /// Numbers from the outermost attribute inwards, as [`Attribute::path`].
    pub path: Vec<u32>,
    /// The tag (RFC 2868), where there is one.
    pub tag: Option<u8>,
    /// Whether it shares one Vendor-Specific attribute with the node before.
    pub joined: bool,
    /// The value in its type; `None` where the octets are no such value, or hidden.
    pub value: Option<Value>,
    /// Nested attributes, of TLVs.
    pub children: Vec<Node>,
    /// Octets of the value: with tag, as hidden, without headers.
    pub raw: Vec<u8>,
    /// Whether tag and value (or children) alone give `raw` back.
    pub exact: bool,
}

/// What decoding needs to know besides the octets.
#[derive(Clone, Copy)]
pub(super) struct Keys<'k> {
    pub dictionary: &'k Dictionary,
    pub secret: Option<&'k Secret>,
    /// Authenticators to reveal hidden values with, tried in order.
    pub authenticators: &'k [[u8; 16]],
}

/// All attributes of a packet.
pub(super) fn nodes(attributes: &[RawAttribute<'_>], keys: Keys<'_>) -> Vec<Node> {
    let mut out = Vec::new();
    let mut rest = attributes;
    while let Some((first, _)) = rest.split_first() {
        let (taken, group) = group(rest, keys);
        if same_octets(rest, taken, &group, keys.dictionary) {
            out.extend(group);
            rest = rest.get(taken..).unwrap_or_default();
        } else if taken > 1 && concatenated(first, keys.dictionary) {
            // Fragments of odd sizes: each one by itself, so that sizes are kept.
            let (fragments, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            out.extend(fragments.iter().map(|fragment| whole(fragment, keys)));
            rest = after;
        } else {
            out.push(whole(first, keys));
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    out
}

fn concatenated(attribute: &RawAttribute<'_>, dictionary: &Dictionary) -> bool {
    dictionary
        .standard(attribute.kind.into())
        .is_some_and(|a| a.flags().concat)
}

fn same_octets(
    rest: &[RawAttribute<'_>],
    taken: usize,
    group: &[Node],
    dictionary: &Dictionary,
) -> bool {
    let mut assembly = Assembly::default();
    for node in group {
        let Some(attribute) = dictionary.resolve(&node.name) else {
            return false;
        };
        if attribute.path() != node.path
            || assembly.push(&attribute, &node.raw, node.joined).is_err()
        {
            return false;
        }
    }
    let before: Vec<u8> = rest.iter().take(taken).flat_map(octets_of).collect();
    taken > 0 && assembly.octets() == before
}

fn octets_of(attribute: &RawAttribute<'_>) -> Vec<u8> {
    // A parsed attribute's length came from one octet, so it fits one.
    let length = u8::try_from(attribute.value.len() + 2).unwrap_or(u8::MAX);
    [&[attribute.kind, length], attribute.value].concat()
}

/// One attribute that could not be taken apart: its octets, under its outermost name.
fn whole(attribute: &RawAttribute<'_>, keys: Keys<'_>) -> Node {
    let path = [u32::from(attribute.kind)];
    match keys.dictionary.attribute_at(&path) {
        Some(known) if !known.data_type().is_container() => leaf(known, attribute.value, keys),
        known => {
            let name = known.map_or_else(
                || format!("Attr-{}", attribute.kind),
                |k| k.name().to_owned(),
            );
            Node {
                name,
                path: path.to_vec(),
                tag: None,
                joined: false,
                value: None,
                children: Vec::new(),
                raw: attribute.value.to_vec(),
                exact: false,
            }
        }
    }
}

/// Reads the group at the start: how many attributes it takes, and its nodes.
fn group(rest: &[RawAttribute<'_>], keys: Keys<'_>) -> (usize, Vec<Node>) {
    let Some(first) = rest.first() else {
        return (0, Vec::new());
    };
    let dictionary = keys.dictionary;
    let known = dictionary.standard(first.kind.into());
    match (first.kind, known.map(Attribute::data_type)) {
        (VENDOR_SPECIFIC, _) => vendor_group(rest, keys).unwrap_or_default(),
        (_, Some(DataType::Extended)) => extended_group(first, keys)
            .map(|node| (1, vec![node]))
            .unwrap_or_default(),
        (_, Some(DataType::LongExtended)) => long_extended_group(rest, keys).unwrap_or_default(),
        _ => {
            let run = match known {
                Some(known) if known.flags().concat => {
                    rest.iter().take_while(|a| a.kind == first.kind).count()
                }
                _ => 1,
            };
            let payload: Vec<u8> = rest
                .iter()
                .take(run)
                .flat_map(|a| a.value)
                .copied()
                .collect();
            match dictionary.resolve_path(&[first.kind.into()]) {
                Some(attribute) => (run, vec![leaf(&attribute, &payload, keys)]),
                None => (0, Vec::new()),
            }
        }
    }
}

fn vendor_group(rest: &[RawAttribute<'_>], keys: Keys<'_>) -> Option<(usize, Vec<Node>)> {
    let (vendor, inside) = vsa::split_vendor(rest.first()?.value)?;
    let format = keys.dictionary.vendor_format(vendor);
    let subs: Vec<SubAttribute<'_>> = vsa::sub_attributes(inside, format)?.collect();
    if let [only] = subs.as_slice()
        && only.more
    {
        return continued_vendor_group(rest, vendor, format, only.kind, keys);
    }
    let mut nodes = Vec::new();
    for sub in subs {
        let attribute =
            keys.dictionary
                .resolve_path(&[VENDOR_SPECIFIC.into(), vendor, sub.kind])?;
        let mut node = leaf(&attribute, sub.value, keys);
        node.joined = !nodes.is_empty();
        nodes.push(node);
    }
    Some((1, nodes))
}

/// A value that continues over several Vendor-Specific attributes (WiMAX).
fn continued_vendor_group(
    rest: &[RawAttribute<'_>],
    vendor: u32,
    format: VendorFormat,
    kind: u32,
    keys: Keys<'_>,
) -> Option<(usize, Vec<Node>)> {
    let mut payload = Vec::new();
    for (at, attribute) in rest.iter().enumerate() {
        let (other, inside) =
            vsa::split_vendor(attribute.value).filter(|_| attribute.kind == VENDOR_SPECIFIC)?;
        let mut subs = vsa::sub_attributes(inside, format).filter(|_| other == vendor)?;
        let (sub, None) = (subs.next().filter(|sub| sub.kind == kind)?, subs.next()) else {
            return None;
        };
        payload.extend_from_slice(sub.value);
        if !sub.more {
            let attribute =
                keys.dictionary
                    .resolve_path(&[VENDOR_SPECIFIC.into(), vendor, kind])?;
            return Some((at + 1, vec![leaf(&attribute, &payload, keys)]));
        }
    }
    None
}

fn extended_group(first: &RawAttribute<'_>, keys: Keys<'_>) -> Option<Node> {
    let (sub, payload) = first.value.split_first()?;
    extended(first.kind, *sub, payload, keys)
}

fn long_extended_group(rest: &[RawAttribute<'_>], keys: Keys<'_>) -> Option<(usize, Vec<Node>)> {
    let first = rest.first()?;
    let sub = *first.value.first()?;
    let mut payload = Vec::new();
    for (at, attribute) in rest.iter().enumerate() {
        let ([next, flags], part) = attribute
            .value
            .split_first_chunk::<2>()
            .map(|(head, part)| (*head, part))?;
        if attribute.kind != first.kind || next != sub {
            return None;
        }
        payload.extend_from_slice(part);
        if flags & MORE == 0 {
            return extended(first.kind, sub, &payload, keys).map(|node| (at + 1, vec![node]));
        }
    }
    None
}

fn extended(kind: u8, sub: u8, payload: &[u8], keys: Keys<'_>) -> Option<Node> {
    let path = [u32::from(kind), u32::from(sub)];
    let attribute = keys.dictionary.resolve_path(&path)?;
    if attribute.data_type() != DataType::Evs {
        return Some(leaf(&attribute, payload, keys));
    }
    let (vendor, inside) = payload.split_first_chunk::<4>()?;
    let (vendor_kind, payload) = inside.split_first()?;
    let [kind, sub] = path;
    let path = [
        kind,
        sub,
        u32::from_be_bytes(*vendor),
        u32::from(*vendor_kind),
    ];
    Some(leaf(&*keys.dictionary.resolve_path(&path)?, payload, keys))
}

/// One attribute with its payload: tag, value, children.
fn leaf(attribute: &Attribute, payload: &[u8], keys: Keys<'_>) -> Node {
    let mut node = Node {
        name: attribute.name().to_owned(),
        path: attribute.path().to_vec(),
        tag: None,
        joined: false,
        value: None,
        children: Vec::new(),
        raw: payload.to_vec(),
        exact: false,
    };
    if attribute.data_type() == DataType::Tlv {
        if let Some(children) = children(attribute, payload, keys) {
            node.exact = true;
            node.children = children;
        }
        return node;
    }
    let Some((tag, bare)) = split_tag(attribute, payload) else {
        return node;
    };
    node.tag = tag;
    if attribute.hide() == Hide::No {
        node.value = attribute.decode_value(&bare);
        node.exact = node.value.as_ref().is_some_and(|value| {
            let octets = attribute.encode_value(&value.to_string());
            octets
                .and_then(|octets| attribute.tag_value(tag, &octets))
                .as_deref()
                == Ok(payload)
        });
        // A nameless attribute has no type to say what it is: octets only.
        if attribute.is_nameless() {
            node.value = None;
            node.exact = false;
        }
    } else if let Some(secret) = keys.secret {
        // Hidden octets cannot be made again from the value: the salt is the sender's.
        node.value = keys
            .authenticators
            .iter()
            .filter_map(|authenticator| {
                hide::reveal(attribute.hide(), &bare, secret, authenticator).ok()
            })
            .find_map(|plain| attribute.decode_value(&plain));
    }
    node
}

/// Takes the tag off. `None` when what stands in its place is no tag.
fn split_tag(attribute: &Attribute, payload: &[u8]) -> Option<(Option<u8>, Vec<u8>)> {
    if !attribute.flags().tagged {
        return Some((None, payload.to_vec()));
    }
    match (
        attribute.data_type(),
        attribute.hide(),
        payload.split_first(),
    ) {
        (DataType::Integer, Hide::No, Some((tag, rest))) => {
            let bare = [&[0], rest].concat();
            (*tag <= MAX_TAG).then_some((Some(*tag).filter(|tag| *tag != 0), bare))
        }
        (_, Hide::Salted, Some((tag, rest))) => {
            (*tag <= MAX_TAG).then_some((Some(*tag).filter(|tag| *tag != 0), rest.to_vec()))
        }
        (_, _, Some((tag, rest))) if *tag <= MAX_TAG => {
            // A zero that is needed comes back by itself, one that is not must be said.
            let implied = *tag == 0 && rest.first().is_some_and(|first| *first <= MAX_TAG);
            Some((Some(*tag).filter(|_| !implied), rest.to_vec()))
        }
        _ => Some((None, payload.to_vec())),
    }
}

/// The attributes inside a TLV; `None` unless they fill it exactly and come back exactly.
fn children(parent: &Attribute, payload: &[u8], keys: Keys<'_>) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut rest = payload;
    while let Some(([number, length], _)) = rest.split_first_chunk::<2>() {
        let (whole, after) = rest.split_at_checked(usize::from(*length))?;
        let inside = whole.get(2..)?;
        let path = [parent.path(), &[u32::from(*number)]].concat();
        // Depth is bounded by the dictionary: what it does not define is octets.
        nodes.push(leaf(&*keys.dictionary.resolve_path(&path)?, inside, keys));
        rest = after;
    }
    (rest.is_empty() && !nodes.is_empty()).then_some(nodes)
}
