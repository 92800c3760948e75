//! CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), table driven, no_std.
//! Guards every header and record of the log; called by `format` only.

const TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82F6_3B78
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC-32C of the parts, as if they were one string.
pub(crate) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut crc = !0u32;
    for part in parts {
        for byte in *part {
            crc = (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize];
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_answer_of_rfc_3720() {
        assert_eq!(super::crc32c(&[b"1234", b"56789"]), 0xE306_9283);
        assert_eq!(super::crc32c(&[&[0u8; 32]]), 0x8A91_36AA);
    }
}
