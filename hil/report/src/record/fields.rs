//! Decoded content as a flat list of fields.

use super::{MAX_FIELDS, MAX_NAME, MAX_VALUE, clip, sgp22};
use crate::mask::Mask;
use crate::message::Field;
use crate::node::Node;
use aid_cli::printable::printable;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A list of fields that is being made.
pub(super) struct Fields<'a> {
    pub(super) mask: &'a mut Mask,
    fields: Vec<Field>,
    left_out: usize,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(mask: &'a mut Mask) -> Self {
        Self {
            mask,
            fields: Vec::new(),
            left_out: 0,
        }
    }

    /// Adds a field; masks it by its name.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        let value = self.mask.field(name, value);
        self.masked(name, &value);
    }

    /// Adds a field whose value is masked already.
    pub(super) fn masked(&mut self, name: &str, value: &str) {
        if self.fields.len() >= MAX_FIELDS {
            self.left_out += 1;
            return;
        }
        self.fields.push(Field {
            name: clip(&printable(name), MAX_NAME),
            value: clip(&printable(value), MAX_VALUE),
        });
    }

    /// Adds a JSON value under a name; members are joined with dots. The value comes back as it may be shown.
    pub(super) fn node(&mut self, name: &str, node: &Node) -> Node {
        if Mask::is_secret(name) {
            return self.secret(name, node);
        }
        match node {
            Node::Plain(text) => {
                self.text(name, text);
                node.clone()
            }
            Node::Text(text) => {
                let value = self.mask.field(name, text);
                self.masked(name, &value);
                self.data_object(name, text);
                Node::Text(value)
            }
            Node::List(items) => match node.byte_array() {
                Some(bytes) if bytes.len() == 16 => {
                    let id = uuid::Uuid::from_slice(&bytes).unwrap_or_default();
                    self.text(name, &id.to_string());
                    node.clone()
                }
                _ => {
                    let item = |(n, item): (usize, &Node)| self.node(&format!("{name}[{n}]"), item);
                    Node::List(items.iter().enumerate().map(item).collect())
                }
            },
            Node::Members(members) => {
                let member = |(member, value): &(String, Node)| {
                    let name = match name {
                        "" => member.clone(),
                        _ => format!("{name}.{member}"),
                    };
                    (member.clone(), self.node(&name, value))
                };
                Node::Members(members.iter().map(member).collect())
            }
        }
    }

    /// Everything below a secret's name is secret, whatever its type.
    fn secret(&mut self, name: &str, node: &Node) -> Node {
        match node {
            Node::Plain(text) | Node::Text(text) => {
                let shown = self.mask.field(name, text);
                self.masked(name, &shown);
                if shown == *text {
                    node.clone()
                } else {
                    Node::Text(shown)
                }
            }
            Node::List(items) => {
                let item = |(n, item): (usize, &Node)| self.secret(&format!("{name}[{n}]"), item);
                Node::List(items.iter().enumerate().map(item).collect())
            }
            Node::Members(members) => {
                for (_, value) in members {
                    learn_all(self.mask, value);
                }
                self.masked(name, crate::mask::MASK);
                Node::Text(crate::mask::MASK.to_owned())
            }
        }
    }

    /// Adds the data objects inside a value of ES2+ or ES9+ that is one in base64.
    fn data_object(&mut self, name: &str, text: &str) {
        const DATA_OBJECTS: &[&str] = &[
            "euiccInfo1",
            "serverSigned1",
            "authenticateServerResponse",
            "prepareDownloadResponse",
            "profileMetadata",
            "smdpSigned2",
            "pendingNotification",
            "cancelSessionResponse",
        ];
        let last = name.rsplit('.').next().unwrap_or(name);
        if DATA_OBJECTS.contains(&last)
            && let Ok(bytes) = STANDARD.decode(text)
        {
            sgp22::decode(&bytes, name, self);
        }
    }

    /// The value of the first field with a name like this.
    pub(super) fn value(&self, is_name: impl Fn(&str) -> bool) -> Option<String> {
        let field = self.fields.iter().find(|field| is_name(&field.name));
        field.map(|field| field.value.clone())
    }

    pub(super) fn finish(mut self) -> Vec<Field> {
        if self.left_out > 0 {
            let text = format!("{} more fields are not shown", self.left_out);
            self.fields.push(Field {
                name: "…".to_owned(),
                value: text,
            });
        }
        self.fields
    }
}

fn learn_all(mask: &mut Mask, node: &Node) {
    match node {
        Node::Plain(text) | Node::Text(text) => mask.learn(text),
        Node::List(items) => items.iter().for_each(|item| learn_all(mask, item)),
        Node::Members(members) => members.iter().for_each(|(_, value)| learn_all(mask, value)),
    }
}
