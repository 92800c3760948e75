//! Spans of AID1: one for each call that goes out and each that comes in, so that a transaction can be
//! followed through all its hops (W3C Trace Context, OpenTelemetry).
//!
//! A trace has the id of its transaction: the 16 bytes of the `correlation-id` (AID.02 §5.1). So an
//! answer that comes days later out of an outbox, or from the other party, is part of the same trace,
//! and whoever knows a correlation-id finds the trace. A `traceparent` that comes in names the parent.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use uuid::Uuid;

/// `traceparent` (W3C Trace Context §3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where a hop is: its trace and the span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Trace id, not zero.
    pub trace: [u8; 16],
    /// Span id, not zero.
    pub span: [u8; 8],
}

impl Place {
    /// Reads a `traceparent`: version 00, or a later one that begins the same.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = bytes::<1>(version)?;
        bytes::<1>(flags)?;
        if version == [0xFF] || (version == [0] && parts.next().is_some()) {
            return None;
        }
        let (trace, span) = (bytes(trace)?, bytes(span)?);
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span })
    }

    /// The `traceparent` of a call that this span makes.
    #[must_use]
    pub fn header(&self) -> String {
        format!("00-{}-{}-01", hex(&self.trace), hex(&self.span))
    }
}

/// Lower-case hexadecimal digits, as the header has them.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    if digits.len() != 2 * N || !digits.iter().all(plain) {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes finished spans, OTLP JSON objects.
type Recorder = Box<dyn Fn(Value) + Send + Sync>;

static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// From now on, this gets every finished span of the process. The first call counts.
pub fn record_with(recorder: impl Fn(Value) + Send + Sync + 'static) {
    let _ = RECORDER.set(Box::new(recorder));
}

thread_local! {
    static CURRENT: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Which end of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Neither: a step inside the process, or towards a vehicle.
    Internal,
    /// The called one.
    Server,
    /// The caller.
    Client,
    /// Sends a message: the span is the time until its answer or effect is known.
    Producer,
    /// Takes a message.
    Consumer,
}

impl Kind {
    /// The number of OTLP.
    fn number(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Server => 2,
            Self::Client => 3,
            Self::Producer => 4,
            Self::Consumer => 5,
        }
    }
}

/// A span that runs; it ends with [`Span::end`].
#[derive(Debug)]
pub struct Span {
    place: Place,
    parent: Option<[u8; 8]>,
    name: &'static str,
    kind: Kind,
    correlation: Uuid,
    peer: String,
    start: SystemTime,
}

impl Span {
    /// Begins a span of a transaction; none where nobody records.
    ///
    /// `from` is the place that the peer named; without one it is the span that this task is in, if it
    /// belongs to the same transaction. `peer` names the other party.
    #[must_use]
    pub fn begin(
        name: &'static str,
        kind: Kind,
        correlation: Uuid,
        from: Option<Place>,
        peer: &str,
    ) -> Option<Self> {
        RECORDER.get()?;
        let own = correlation.into_bytes();
        let around = CURRENT.with_borrow(|current| current.filter(|place| place.trace == own));
        let parent = from.or(around);
        let random = Uuid::new_v4().into_bytes();
        // The last eight bytes of a version 4 UUID: two of them are fixed, so never zero.
        let mut span = [0; 8];
        span.copy_from_slice(&random[8..]);
        Some(Self {
            place: Place {
                trace: parent.map_or(own, |place| place.trace),
                span,
            },
            parent: parent.map(|place| place.span),
            name,
            kind,
            correlation,
            peer: peer.to_owned(),
            start: SystemTime::now(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// It began earlier, Unix milliseconds: when what is answered now was sent.
    #[must_use]
    pub fn since(mut self, start_ms: u64) -> Self {
        let start = UNIX_EPOCH.checked_add(Duration::from_millis(start_ms));
        self.start = start.unwrap_or(self.start);
        self
    }

    /// Ends it. `status` is the HTTP status, if there was an answer.
    pub fn end(self, status: Option<u16>) {
        let Some(recorder) = RECORDER.get() else {
            return;
        };
        let nanos = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            since.as_nanos().to_string()
        };
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let mut attributes = vec![
            text("correlation-id", &self.correlation.hyphenated().to_string()),
            text("peer", &self.peer),
        ];
        if let Some(status) = status {
            let value = json!({"intValue": status.to_string()});
            attributes.push(json!({"key": "http.response.status_code", "value": value}));
        }
        // 2 is STATUS_CODE_ERROR: a client's call that was refused, a server's own failure.
        let failed = match (self.kind, status) {
            (Kind::Internal | Kind::Producer | Kind::Consumer, None) => false,
            (_, None) => true,
            (Kind::Client, Some(status)) => status >= 400,
            (_, Some(status)) => status >= 500,
        };
        recorder(json!({
            "traceId": hex(&self.place.trace),
            "spanId": hex(&self.place.span),
            "parentSpanId": self.parent.map(|parent| hex(&parent)).unwrap_or_default(),
            "name": self.name,
            "kind": self.kind.number(),
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(SystemTime::now()),
            "attributes": attributes,
            "status": if failed { json!({"code": 2}) } else { json!({}) },
        }));
    }
}

/// The place that the headers of a request name.
#[must_use]
pub fn from_headers(map: &HeaderMap) -> Option<Place> {
    let mut values = map.get_all(TRACEPARENT).iter();
    let place = Place::parse(values.next()?.to_str().ok()?);
    place.filter(|_| values.next().is_none())
}

/// Names the span in the headers of a call.
pub fn to_headers(span: Option<&Span>, map: &mut HeaderMap) {
    if let Some(span) = span
        && let Ok(value) = HeaderValue::from_str(&span.place.header())
    {
        map.insert(TRACEPARENT, value);
    }
}

/// Runs a future inside a span: calls that it makes for the same transaction are its children.
pub fn within<F: Future>(span: Option<&Span>, future: F) -> Within<F> {
    inside(span.map(|span| span.place), future)
}

/// As [`within`], by the place of the span: for a task that goes on where the span was begun elsewhere.
pub fn inside<F: Future>(place: Option<Place>, future: F) -> Within<F> {
    Within {
        place,
        future: Box::pin(future),
    }
}

/// The place of the span that this task is in.
#[must_use]
pub fn here() -> Option<Place> {
    CURRENT.with_borrow(|current| *current)
}

/// See [`within`].
pub struct Within<F> {
    place: Option<Place>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = CURRENT.replace(self.place);
        let polled = self.future.as_mut().poll(context);
        CURRENT.set(before);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static SPANS: Mutex<Vec<Value>> = Mutex::new(Vec::new());

    // R-5.1-2: one transaction is one trace, on whichever hop.
    #[test]
    fn a_transaction_is_a_trace() {
        record_with(|span| SPANS.lock().unwrap().push(span));
        let transaction = Uuid::new_v4();
        let called = Span::begin("Called", Kind::Server, transaction, None, "msp").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut headers = HeaderMap::new();
        runtime.block_on(within(Some(&called), async {
            tokio::task::yield_now().await;
            let inner = Span::begin("Calls", Kind::Client, transaction, None, "cmp");
            to_headers(inner.as_ref(), &mut headers);
            inner.unwrap().end(Some(404));
            // Another transaction is another trace, wherever it begins.
            let other = Span::begin("Other", Kind::Client, Uuid::new_v4(), None, "").unwrap();
            assert_eq!(other.parent, None);
        }));
        let far = Span::begin("Far", Kind::Server, transaction, from_headers(&headers), "");
        far.unwrap().end(Some(201));
        called.end(None);
        let spans = SPANS.lock().unwrap();
        let trace = transaction.simple().to_string();
        let own: Vec<_> = spans
            .iter()
            .filter(|s| s["traceId"] == trace.as_str())
            .collect();
        let named = |name: &str| own.iter().find(|s| s["name"] == name).unwrap();
        assert_eq!(own.len(), 3);
        assert_eq!(named("Calls")["parentSpanId"], named("Called")["spanId"]);
        assert_eq!(named("Far")["parentSpanId"], named("Calls")["spanId"]);
        assert_eq!(named("Far")["status"], json!({}));
        assert_eq!(named("Calls")["status"]["code"], 2);
        assert_eq!(
            named("Called")["attributes"][0]["value"]["stringValue"],
            transaction.to_string()
        );
    }

    #[test]
    fn a_traceparent_is_read_strictly() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let place = Place::parse(good).unwrap();
        assert_eq!(place.header(), good);
        assert!(Place::parse(&good.replacen("00", "cc", 1)).is_some());
        assert!(Place::parse(&format!("{}-more", good.replacen("00", "01", 1))).is_some());
        for bad in [
            "",
            "00",
            &good.to_uppercase(),
            &good.replacen("00", "ff", 1),
            &format!("{good}-x"),
            &good.replace("b7ad6b7169203331", "0000000000000000"),
            &good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &good[..54],
            "00-é-b7ad6b7169203331-01",
        ] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
        let mut twice = HeaderMap::new();
        twice.append(TRACEPARENT, HeaderValue::from_static("x"));
        assert_eq!(from_headers(&twice), None);
        twice.insert(TRACEPARENT, HeaderValue::from_str(good).unwrap());
        assert_eq!(from_headers(&twice), Some(place));
        twice.append(TRACEPARENT, HeaderValue::from_str(good).unwrap());
        assert_eq!(from_headers(&twice), None);
    }
}
