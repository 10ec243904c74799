//! Replies, compiled, and the list of attributes they build.
//!
//! A list keeps its order. Rows change it by their operators; the decision then puts, replaces and removes by typed
//! constants; [`ReplyList::render`] hands everything to the wire. Values that travel hidden stay plain here and are
//! hidden when the reply is sealed; they are **never** shown.

use super::Op;
use radius_wire::dictionary::{Attribute, Carrier, Dictionary};
use radius_wire::{Attr, Hide, Kind, Reply};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// One reply row, compiled.
#[derive(Clone)]
pub struct ReplyRow {
    op: Op,
    item: ReplyItem,
}

impl ReplyRow {
    pub(super) fn compile(
        attribute: Arc<Attribute>,
        tag: Option<u8>,
        op: Op,
        value: &str,
    ) -> Result<Self, String> {
        let octets = Zeroizing::new(attribute.encode_value(value).map_err(|e| e.to_string())?);
        if octets.is_empty() {
            return Err(format!("{} has no value", attribute.name()));
        }
        let is_nested = !attribute.inner().is_empty();
        let hides = attribute.hide() != Hide::No;
        if hides
            && (is_nested
                || !matches!(
                    attribute.carrier(),
                    Carrier::Standard { .. } | Carrier::Vendor { .. }
                ))
        {
            return Err(format!(
                "{} would be hidden inside another attribute, which cannot be sent",
                attribute.name()
            ));
        }
        // What can be written now can be written later.
        let mut scratch = Zeroizing::new(Vec::new());
        attribute
            .append(tag, &octets, &mut scratch)
            .map_err(|e| e.to_string())?;
        let item = ReplyItem {
            source: Source::Row(attribute),
            tag,
            value: Arc::new(octets),
        };
        Ok(Self { op, item })
    }

    /// The operator.
    pub fn op(&self) -> Op {
        self.op
    }

    /// What it is about.
    pub fn item(&self) -> &ReplyItem {
        &self.item
    }
}

/// `Attribute op value`.
impl fmt::Display for ReplyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = super::parse::quoted(self.op, &self.item.shown_value());
        write!(f, "{} {} {value}", self.item.name(), self.op)
    }
}

/// One attribute of a reply.
#[derive(Clone)]
pub struct ReplyItem {
    source: Source,
    tag: Option<u8>,
    /// Without tag, not hidden.
    value: Arc<Zeroizing<Vec<u8>>>,
}

#[derive(Clone)]
enum Source {
    /// A row's attribute.
    Row(Arc<Attribute>),
    /// A constant's.
    Constant {
        name: &'static str,
        vendor: u32,
        number: u32,
        tagged: bool,
        hide: Hide,
        /// The value as it lies in the attribute, with its tag.
        payload: Arc<Zeroizing<Vec<u8>>>,
    },
}

impl ReplyItem {
    fn constant<T: Kind>(attr: Attr<T>, tag: u8, value: T::Value<'_>) -> Self {
        let (mut bare, mut payload) = (Vec::new(), Vec::new());
        T::encode(value, &mut bare);
        if attr.tagged {
            T::encode_tagged(tag, value, &mut payload);
        } else {
            T::encode(value, &mut payload);
        }
        Self {
            source: Source::Constant {
                name: attr.name,
                vendor: attr.vendor,
                number: attr.number,
                tagged: attr.tagged,
                hide: attr.hide,
                payload: Arc::new(Zeroizing::new(payload)),
            },
            tag: (attr.tagged && tag != 0).then_some(tag),
            value: Arc::new(Zeroizing::new(bare)),
        }
    }

    /// The attribute's name with its tag.
    pub fn name(&self) -> String {
        let name = match &self.source {
            Source::Row(attribute) => attribute.name(),
            Source::Constant { name, .. } => name,
        };
        self.tag
            .map_or_else(|| name.to_owned(), |tag| format!("{name}:{tag}"))
    }

    /// The tag, where there is one.
    pub fn tag(&self) -> Option<u8> {
        self.tag
    }

    /// A constant's vendor (0 is none), number and value as it lies in the attribute; none where it has to be hidden.
    pub fn plain(&self) -> Option<(u32, u32, &[u8])> {
        match &self.source {
            Source::Constant {
                vendor,
                number,
                hide: Hide::No,
                payload,
                ..
            } => Some((*vendor, *number, payload)),
            _ => None,
        }
    }

    /// The value's octets, without tag and not hidden. Not for showing: see [`ReplyItem::shown_value`].
    pub fn octets(&self) -> &[u8] {
        &self.value
    }

    /// The value as a number, where the attribute is one.
    pub fn number(&self) -> Option<u64> {
        let is_number = self
            .definition()
            .is_some_and(|attribute| attribute.data_type().is_number());
        match self.value.len() {
            1 | 2 | 4 | 8 if is_number => Some(
                self.value
                    .iter()
                    .fold(0, |number, octet| number << 8 | u64::from(*octet)),
            ),
            _ => None,
        }
    }

    /// Whether the value is a secret.
    pub fn is_hidden(&self) -> bool {
        match &self.source {
            Source::Row(attribute) => attribute.hide() != Hide::No || attribute.flags().secret,
            Source::Constant { hide, .. } => *hide != Hide::No,
        }
    }

    /// The value for people; a secret one is not shown.
    pub fn shown_value(&self) -> String {
        if self.is_hidden() {
            return "(hidden)".to_owned();
        }
        self.definition().map_or_else(
            || String::from_utf8_lossy(&self.value).into_owned(),
            |attribute| attribute.format_value(&self.value),
        )
    }

    /// What the dictionary says of it; constants are made from the one that is built in.
    fn definition(&self) -> Option<&Attribute> {
        match &self.source {
            Source::Row(attribute) => Some(attribute),
            Source::Constant {
                vendor: 0, number, ..
            } => Dictionary::builtin().standard(*number),
            Source::Constant { vendor, number, .. } => {
                Dictionary::builtin().vendor_attribute(*vendor, *number)
            }
        }
    }

    /// Whether it is this attribute of this vendor (0 is none); never for one that lies inside another.
    pub fn is(&self, vendor: u32, number: u32) -> bool {
        match &self.source {
            Source::Constant {
                vendor: v,
                number: n,
                ..
            } => (*v, *n) == (vendor, number),
            Source::Row(attribute) if attribute.inner().is_empty() => match attribute.carrier() {
                Carrier::Standard { kind } => (0, u32::from(kind)) == (vendor, number),
                Carrier::Vendor {
                    vendor: v, kind, ..
                } => (v, kind) == (vendor, number),
                _ => false,
            },
            Source::Row(_) => false,
        }
    }

    /// Writes it as it lies in a packet; `false` where it must be hidden or cannot be written.
    fn append(&self, out: &mut Vec<u8>) -> bool {
        match &self.source {
            Source::Row(attribute) if attribute.hide() == Hide::No => {
                attribute.append(self.tag, &self.value, out).is_ok()
            }
            _ => false,
        }
    }

    /// Whether both are the same attribute with the same tag.
    fn is_same(&self, other: &ReplyItem) -> bool {
        self.tag.unwrap_or(0) == other.tag.unwrap_or(0)
            && match (&self.source, &other.source) {
                (Source::Row(one), Source::Row(two)) => one.path() == two.path(),
                (Source::Constant { vendor, number, .. }, _) => other.is(*vendor, *number),
                (_, Source::Constant { vendor, number, .. }) => self.is(*vendor, *number),
            }
    }
}

/// `Attribute = value`.
impl fmt::Display for ReplyItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} = {}",
            self.name(),
            super::parse::quoted(Op::Set, &self.shown_value())
        )
    }
}

impl fmt::Debug for ReplyItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyItem({self})")
    }
}

/// The attributes of a reply, in order. As long as the rows that made it. Cheap to clone while only one owner's rows made
/// it, which is nearly always.
#[derive(Debug, Clone, Default)]
pub struct ReplyList {
    /// What one owner's rows alone come to; then there is nothing else.
    shared: Option<Arc<Prepared>>,
    own: Vec<ReplyItem>,
}

/// What an owner's rows alone come to, made once when they are compiled.
pub(super) struct Prepared {
    items: Vec<ReplyItem>,
    /// The finished attributes, where none of them is hidden.
    octets: Option<Vec<u8>>,
    /// The same without Session-Timeout, where it has one: the decision puts that itself.
    without_timeout: Option<Arc<Prepared>>,
}

impl Prepared {
    pub(super) fn new(rows: &[ReplyRow]) -> Option<Arc<Self>> {
        let mut list = ReplyList::default();
        list.apply(rows);
        let items = list.into_items();
        (!items.is_empty()).then(|| {
            let mut rest = items.clone();
            rest.retain(|item| !item.is(0, SESSION_TIMEOUT));
            let without_timeout =
                (rest.len() < items.len()).then(|| Arc::new(Self::of(rest, None)));
            Arc::new(Self::of(items, without_timeout))
        })
    }

    fn of(items: Vec<ReplyItem>, without_timeout: Option<Arc<Prepared>>) -> Self {
        let mut octets = Vec::new();
        let is_plain = items.iter().all(|item| item.append(&mut octets));
        Self {
            octets: is_plain.then_some(octets),
            items,
            without_timeout,
        }
    }
}

/// What is secret of it is not shown.
impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}

/// Session-Timeout (RFC 2865 §5.27).
const SESSION_TIMEOUT: u32 = 27;
/// Cisco-AVPair: many in one reply are normal.
const CISCO_AVPAIR: (u32, u32) = (9, 1);

/// An attribute of the list cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reply attribute {attribute}: {reason}")]
pub struct RenderFault {
    /// Which.
    pub attribute: String,
    /// Why.
    pub reason: String,
}

impl ReplyList {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the list as an owner's rows say: `=` adds where there is none of that name, `:=` replaces all of them,
    /// `+=` adds at the end, `^=` at the beginning, `-=` removes those with that value. A tag is part of the name.
    pub fn apply(&mut self, rows: &[ReplyRow]) {
        if rows.is_empty() {
            return;
        }
        let items = self.own();
        for ReplyRow { op, item } in rows {
            match op {
                Op::Set if items.iter().any(|known| known.is_same(item)) => {}
                Op::Assign => put_in_place(items, item.clone()),
                Op::Prepend => items.insert(0, item.clone()),
                Op::Remove => {
                    items.retain(|known| !(known.is_same(item) && known.value == item.value));
                }
                _ => items.push(item.clone()),
            }
        }
    }

    /// The same for rows that are compiled: the first owner's cost nothing.
    pub(crate) fn apply_set(&mut self, set: &super::RuleSet) {
        match &set.prepared {
            Some(prepared) if self.is_empty() => self.shared = Some(Arc::clone(prepared)),
            _ => self.apply(&set.replies),
        }
    }

    fn items(&self) -> &[ReplyItem] {
        match &self.shared {
            Some(prepared) => &prepared.items,
            None => &self.own,
        }
    }

    fn own(&mut self) -> &mut Vec<ReplyItem> {
        if let Some(prepared) = self.shared.take() {
            self.own = prepared.items.clone();
        }
        &mut self.own
    }

    fn into_items(mut self) -> Vec<ReplyItem> {
        std::mem::take(self.own())
    }

    /// The attributes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ReplyItem> {
        self.items().iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// The first of an attribute, whatever its tag; vendor 0 is none.
    pub fn find(&self, vendor: u32, number: u32) -> Option<&ReplyItem> {
        self.items().iter().find(|item| item.is(vendor, number))
    }

    /// The least number of an attribute, such as Session-Timeout.
    pub fn least(&self, vendor: u32, number: u32) -> Option<u64> {
        self.items()
            .iter()
            .filter(|item| item.is(vendor, number))
            .filter_map(ReplyItem::number)
            .min()
    }

    /// Adds an attribute at the end.
    pub fn put<T: Kind>(&mut self, attr: Attr<T>, value: T::Value<'_>) {
        self.own().push(ReplyItem::constant(attr, 0, value));
    }

    /// Adds an attribute with a tag (1 to 31; 0 is none) at the end.
    pub fn put_tagged<T: Kind>(&mut self, attr: Attr<T>, tag: u8, value: T::Value<'_>) {
        self.own().push(ReplyItem::constant(attr, tag, value));
    }

    /// Puts an attribute in the place of all of the same name, or at the end.
    pub fn replace<T: Kind>(&mut self, attr: Attr<T>, value: T::Value<'_>) {
        put_in_place(self.own(), ReplyItem::constant(attr, 0, value));
    }

    /// Removes an attribute, all its tags; how many there were. Vendor 0 is none.
    pub fn remove(&mut self, vendor: u32, number: u32) -> usize {
        let before = self.len();
        if let Some(prepared) = &self.shared {
            match &prepared.without_timeout {
                Some(rest) if (vendor, number) == (0, SESSION_TIMEOUT) => {
                    self.shared = Some(Arc::clone(rest));
                    return before - self.len();
                }
                _ if !self.items().iter().any(|item| item.is(vendor, number)) => return 0,
                _ => {}
            }
        }
        self.own().retain(|item| !item.is(vendor, number));
        before - self.len()
    }

    /// The same, made ready: rendering it is one copy where nothing has to be hidden.
    pub fn prepared(self) -> ReplyList {
        let items = self.into_items();
        ReplyList {
            shared: Some(Arc::new(Prepared::of(items, None))),
            own: Vec::new(),
        }
    }

    /// Puts into a reply whatever `beside`, which is in it already, says nothing of; in order.
    ///
    /// # Errors
    /// As [`ReplyList::render`].
    pub fn render_beside(&self, beside: &ReplyList, reply: &mut Reply) -> Result<(), RenderFault> {
        if beside.is_empty() {
            return self.render(reply);
        }
        let own = self
            .items()
            .iter()
            .filter(|item| !beside.items().iter().any(|there| there.stands_for(item)))
            .cloned()
            .collect();
        ReplyList { shared: None, own }.render(reply)
    }

    /// Puts everything into a reply, in order.
    ///
    /// # Errors
    /// [`RenderFault`] names the attribute that cannot be written; rows were tried when they were compiled.
    pub fn render(&self, reply: &mut Reply) -> Result<(), RenderFault> {
        if let Some(prepared) = &self.shared
            && let Some(octets) = &prepared.octets
        {
            reply.put_attributes(octets);
            return Ok(());
        }
        for item in self.items() {
            match &item.source {
                Source::Constant {
                    vendor,
                    number,
                    tagged,
                    hide,
                    payload,
                    ..
                } => {
                    if *hide != Hide::No {
                        let tag = tagged.then(|| item.tag.unwrap_or(0));
                        reply.put_hidden(*vendor, *number, tag, *hide, &item.value);
                    } else if *vendor == 0 {
                        put_standard(reply, *number, payload)
                            .map_err(|reason| item.fault(reason))?;
                    } else if !payload.is_empty() {
                        reply.put_vendor(*vendor, *number, payload);
                    }
                }
                Source::Row(attribute) => match (attribute.hide(), attribute.carrier()) {
                    (Hide::No, _) => {
                        let mut octets = Vec::new();
                        attribute
                            .append(item.tag, &item.value, &mut octets)
                            .map_err(|e| item.fault(e.to_string()))?;
                        reply.put_attributes(&octets);
                    }
                    (hide, Carrier::Standard { kind }) => {
                        reply.put_hidden(
                            0,
                            kind.into(),
                            item.hidden_tag(attribute),
                            hide,
                            &item.value,
                        );
                    }
                    (hide, Carrier::Vendor { vendor, kind, .. }) => {
                        reply.put_hidden(
                            vendor,
                            kind,
                            item.hidden_tag(attribute),
                            hide,
                            &item.value,
                        );
                    }
                    _ => return Err(item.fault("it cannot be hidden there".to_owned())),
                },
            }
        }
        Ok(())
    }
}

/// Where the first of the same name stood, else at the end; the others of that name go.
fn put_in_place(items: &mut Vec<ReplyItem>, item: ReplyItem) {
    let place = items.iter().position(|known| known.is_same(&item));
    items.retain(|known| !known.is_same(&item));
    match place {
        Some(at) => items.insert(at.min(items.len()), item),
        None => items.push(item),
    }
}

impl ReplyItem {
    /// Whether it speaks of the same attribute, whatever the tag. Of an attribute that holds pairs, each is its own.
    fn stands_for(&self, other: &ReplyItem) -> bool {
        match &other.source {
            Source::Constant { vendor, number, .. } => {
                self.is(*vendor, *number) && (*vendor, *number) != CISCO_AVPAIR
            }
            Source::Row(_) => self.is_same(other),
        }
    }

    fn hidden_tag(&self, attribute: &Attribute) -> Option<u8> {
        attribute.flags().tagged.then(|| self.tag.unwrap_or(0))
    }

    fn fault(&self, reason: String) -> RenderFault {
        RenderFault {
            attribute: self.name(),
            reason,
        }
    }
}

/// Long text (Reply-Message) is split by the wire.
fn put_standard(reply: &mut Reply, number: u32, payload: &[u8]) -> Result<(), String> {
    if !(1..=255).contains(&number) {
        return Err(format!("there is no attribute {number} on the wire"));
    }
    reply.put(
        Attr::<radius_wire::attr::Octets>::new("", 0, number),
        payload,
    );
    Ok(())
}

#[cfg(test)]
mod tests;
