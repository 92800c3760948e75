//! The fixed headers of a vehicle's packets (MQTT 5 §2.1.3): reserved flags that are set, and a QoS of 3, are malformed.

/// Most bytes of a Remaining Length (MQTT 5 §1.5.5).
const LENGTH_BYTES: u8 = 4;

/// Where in a stream of packets it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Headers {
    /// Bytes of the present packet that are still to come.
    rest: u32,
    /// Bytes of its length that have come; none: the next byte is a header.
    length_bytes: Option<u8>,
}

impl Headers {
    /// Whether the headers in the next bytes of the stream are well-formed. After one that is not, nothing is said of what
    /// follows.
    pub(super) fn fit(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            if self.length_bytes.is_none() {
                // What is in a packet is not judged here.
                let rest = usize::try_from(self.rest).unwrap_or(usize::MAX);
                let taken = rest.min(bytes.len());
                bytes = bytes.get(taken..).unwrap_or_default();
                self.rest = u32::try_from(rest - taken).unwrap_or(u32::MAX);
            }
            let Some((byte, others)) = bytes.split_first() else {
                return true;
            };
            bytes = others;
            let Some(count) = self.length_bytes else {
                if !flags_fit(*byte) {
                    return false;
                }
                self.length_bytes = Some(0);
                continue;
            };
            self.rest |= u32::from(byte & 0x7F) << (7 * count);
            self.length_bytes = match byte & 0x80 {
                0 => None,
                _ if count + 1 == LENGTH_BYTES => return false,
                _ => Some(count + 1),
            };
        }
    }
}

/// Whether the flags of a fixed header are those of its type.
fn flags_fit(header: u8) -> bool {
    let flags = header & 0x0F;
    match header >> 4 {
        // PUBLISH: a QoS of 3 is none.
        3 => flags & 0b0110 != 0b0110,
        // PUBREL, SUBSCRIBE, UNSUBSCRIBE.
        6 | 8 | 10 => flags == 0b0010,
        _ => flags == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(stream: &[u8], size: usize) -> bool {
        let mut headers = Headers::default();
        stream.chunks(size).all(|bytes| headers.fit(bytes))
    }

    #[test]
    fn headers_are_found_however_the_stream_is_cut() {
        let mut good = Vec::new();
        for (header, length) in [
            (0x10, 3_usize),
            (0x82, 0),
            (0x32, 200),
            (0xC0, 0),
            (0x40, 20_000),
            (0x30, 1),
        ] {
            good.push(header);
            let mut left = length;
            loop {
                let low = u8::try_from(left % 128).unwrap_or_default();
                left /= 128;
                good.push(if left > 0 { low | 0x80 } else { low });
                if left == 0 {
                    break;
                }
            }
            // Bytes that would be no headers.
            good.extend(std::iter::repeat_n(0xFF, length));
        }
        for size in [1, 2, 3, 7, 100, 1000, 100_000] {
            assert!(judged(&good, size), "{size}");
            for bad in [0x80, 0x83, 0x36, 0x11, 0xC1, 0xA0, 0x60, 0xE8] {
                let stream = [&good[..], &[bad, 0]].concat();
                assert!(!judged(&stream, size), "{bad:#x} {size}");
            }
            let endless = [&good[..], &[0x30, 0xFF, 0xFF, 0xFF, 0xFF]].concat();
            assert!(!judged(&endless, size), "{size}");
        }
    }
}
