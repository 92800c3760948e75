//! The block's check: CRC-16 of ISO/IEC 13239 (polynomial 1021 reflected, all ones before and after).
//! GPC_FST_172, epilogue field.

/// The CRC over prologue and information field; it is sent with the high byte first.
#[must_use]
pub const fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    let mut at = 0;
    while at < bytes.len() {
        crc ^= bytes[at] as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0x8408
            } else {
                crc >> 1
            };
            bit += 1;
        }
        at += 1;
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(crc16(b"123456789"), 0x906E);
        assert_eq!(crc16(b""), 0);
    }
}
