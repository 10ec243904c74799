//! Dissections as JSON objects.
//!
//! `{"code":"Access-Request","id":1,"authenticator":"hex","length":20,"attributes":[…]}`,
//! with `padding`, `checks` and `request_authenticator` only where there are any. An
//! attribute is `{"name","tag","joined","value","raw"}` without what it does not have.

use serde_json::{Map, Value as Json};

use super::Dissection;
use super::decoder::Checks;
use super::nodes::Node;
use crate::dictionary::Value;

impl Dissection {
    /// The object; keys in the order people read them.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        let mut put = |key: &str, value: Json| object.insert(key.to_owned(), value);
        put("code", self.code.to_string().into());
        put("id", self.identifier.into());
        put("authenticator", hex::encode(self.authenticator).into());
        put("length", self.length.into());
        put(
            "attributes",
            self.attributes.iter().map(node_json).collect(),
        );
        if !self.padding.is_empty() {
            put("padding", hex::encode(&self.padding).into());
        }
        if let Some(Checks {
            authenticator,
            message_authenticator,
            request_authenticator,
        }) = &self.checks
        {
            if let Some(request) = request_authenticator {
                put("request_authenticator", hex::encode(request).into());
            }
            let mut checks = Map::new();
            checks.insert("authenticator".to_owned(), authenticator.to_string().into());
            checks.insert(
                "message_authenticator".to_owned(),
                message_authenticator.to_string().into(),
            );
            put("checks", checks.into());
        }
        Json::Object(object)
    }
}

fn node_json(node: &Node) -> Json {
    let mut object = Map::new();
    let mut put = |key: &str, value: Json| object.insert(key.to_owned(), value);
    put("name", node.name.as_str().into());
    if let Some(tag) = node.tag {
        put("tag", tag.into());
    }
    if node.joined {
        put("joined", true.into());
    }
    if let Some(value) = &node.value {
        put("value", value_json(value));
    } else if !node.children.is_empty() {
        put("value", node.children.iter().map(node_json).collect());
    }
    if !node.exact {
        put("raw", hex::encode(&node.raw).into());
    }
    Json::Object(object)
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Number(number) => Json::from(*number),
        Value::Signed(number) => Json::from(*number),
        Value::Bool(yes) => Json::from(*yes),
        other => Json::from(other.to_string()),
    }
}
