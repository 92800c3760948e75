//! A request as the judge writes it, right or wrong.

use serde_json::Value;

/// The content type of AID1 (AID.02 §6).
pub(crate) const JSON: &str = "application/json";

/// One request; header names and values go onto the wire as they are.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Method.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Header lines, without those of the framing.
    pub(crate) headers: Vec<(String, String)>,
    /// Body; none: no framing headers either.
    pub(crate) body: Option<Vec<u8>>,
}

impl Call {
    /// Without headers and body.
    pub(crate) fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// With a JSON body, and the header that says so.
    #[must_use]
    pub(crate) fn json(self, body: &Value) -> Self {
        self.bytes(body.to_string().into_bytes())
    }

    /// With these bytes, said to be JSON.
    #[must_use]
    pub(crate) fn bytes(self, body: impl Into<Vec<u8>>) -> Self {
        let mut call = self.set("content-type", JSON);
        call.body = Some(body.into());
        call
    }

    /// With this header, in place of others of its name.
    #[must_use]
    pub(crate) fn set(self, name: &str, value: impl Into<String>) -> Self {
        self.without(name).and(name, value)
    }

    /// With one more line of this header.
    #[must_use]
    pub(crate) fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Without this header.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter();
        let named = named.find(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The head, for a host.
    pub(crate) fn head(&self, host: &str) -> String {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {host}\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head
    }
}
