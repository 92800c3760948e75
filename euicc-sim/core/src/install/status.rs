//! PEStatus: why a profile element can't be installed.
//! TCA eUICC Profile Package §8.1 (PEStatus). Made by the installer, sent in the installation result.

/// The codes of PEStatus.
pub mod code {
    /// pe-not-supported.
    pub const PE_NOT_SUPPORTED: u16 = 1;
    /// memory-failure: the profile could not be written.
    pub const MEMORY_FAILURE: u16 = 2;
    /// bad-values.
    pub const BAD_VALUES: u16 = 3;
    /// not-enough-memory.
    pub const NOT_ENOUGH_MEMORY: u16 = 4;
    /// invalid-request-format.
    pub const INVALID_FORMAT: u16 = 5;
    /// invalid-parameter.
    pub const INVALID_PARAMETER: u16 = 6;
    /// runtime-not-supported.
    pub const RUNTIME_NOT_SUPPORTED: u16 = 7;
    /// lib-not-supported.
    pub const LIB_NOT_SUPPORTED: u16 = 8;
    /// template-not-supported.
    pub const TEMPLATE_NOT_SUPPORTED: u16 = 9;
    /// feature-not-supported.
    pub const FEATURE_NOT_SUPPORTED: u16 = 10;
    /// pin-code-missing.
    pub const PIN_CODE_MISSING: u16 = 11;
    /// unsupported-profile-version.
    pub const UNSUPPORTED_VERSION: u16 = 31;
    /// Every code of the specification, without ok.
    pub const ALL: [u16; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 31];
    /// 6A89 of ISO/IEC 7816-9: the file exists already.
    pub const FILE_EXISTS: u16 = 0x6A89;
}

/// Why an element can't be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("profile element {identification:?}: status {status}")]
pub struct PeStatus {
    /// status: one of [`code`].
    pub status: u16,
    /// identification of the element, when it was readable.
    pub identification: Option<u16>,
}
