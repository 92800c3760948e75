//! Random numbers, secrets and identifiers of a set-up, from the operating system.

use aid_cli::cli::Failure;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;

/// The operating system's generator as RustCrypto wants it; it ends the process where there is none.
pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut out = [0; N];
    getrandom::fill(&mut out)
        .map_err(|e| Failure::new(format!("the operating system gives no random numbers: {e}")))?;
    Ok(out)
}

fn from_alphabet(alphabet: &[u8], len: usize) -> Result<String, Failure> {
    let mut out = String::with_capacity(len);
    while out.len() < len {
        let [byte] = bytes::<1>()?;
        // Bytes beyond the last whole multiple of the alphabet would favour its first letters.
        let limit = 256 - 256 % alphabet.len();
        if usize::from(byte) < limit {
            out.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
        }
    }
    Ok(out)
}

/// Letters and digits.
pub(crate) fn alphanumeric(len: usize) -> Result<String, Failure> {
    from_alphabet(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        len,
    )
}

/// Decimal digits.
pub(crate) fn digits(len: usize) -> Result<String, Failure> {
    from_alphabet(b"0123456789", len)
}

/// Lower-case hexadecimal digits of so many random bytes.
pub(crate) fn hex32() -> Result<String, Failure> {
    Ok(hex::encode(bytes::<32>()?))
}

/// An EID of the test EUM 89049032 with valid check digits.
pub(crate) fn eid() -> Result<String, Failure> {
    let eid = aid_id::Eid::with_check_digits(&format!("89049032{}", digits(22)?))?;
    Ok(eid.as_str().to_owned())
}

/// An ICCID of 19 digits with its Luhn digit (ITU-T E.118), issuer 8988 (shared codes).
pub(crate) fn iccid() -> Result<String, Failure> {
    let body = format!("8988{}", digits(14)?);
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let doubled = u32::from(digit - b'0') * if at % 2 == 0 { 2 } else { 1 };
            doubled / 10 + doubled % 10
        })
        .sum();
    Ok(format!("{body}{}", (10 - sum % 10) % 10))
}
