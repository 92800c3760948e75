//! Result codes of ES10: INTEGERs with names. A code that is not in the table reads as the
//! `undefined` one, so that a newer peer is not a parse error.

/// Defines an enum of result codes with `code()`, `from_code()` and `name()` (the ASN.1 spelling).
macro_rules! result_codes {
    ($(#[$m:meta])* $name:ident otherwise $undefined:ident {
        $($(#[$vm:meta])* $variant:ident = $value:literal $text:literal),+ $(,)?
    }) => {
        $(#[$m])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$vm])* $variant),+ }

        impl $name {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The INTEGER on the wire.
            #[must_use]
            pub const fn code(self) -> u8 { match self { $(Self::$variant => $value),+ } }
            /// The code for an INTEGER; an unknown one is the undefined one.
            #[must_use]
            pub const fn from_code(code: u64) -> Self {
                match code { $($value => Self::$variant,)+ _ => Self::$undefined }
            }
            /// The name in RSPDefinitions.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $text),+ } }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{} ({})", self.name(), self.code())
            }
        }
    };
}

/// Defines a response of ES10c whose only content is one result code under tag 80.
macro_rules! code_response {
    ($(#[$m:meta])* $name:ident, $tag:literal, $field:ident: $code:ident) => {
        $(#[$m])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            /// What became of it.
            pub $field: $code,
        }

        impl $crate::es10::DataObject for $name {
            const TAG: $crate::tlv::Tag = $tag;
            fn write_value(&self, w: &mut $crate::tlv::Writer) {
                w.uint(0x80, u64::from(self.$field.code()));
            }
            fn read_value(r: &mut $crate::tlv::Reader<'_>) -> Result<Self, $crate::tlv::TlvError> {
                Ok(Self { $field: $code::from_code(r.expect(0x80)?.uint()?) })
            }
        }
    };
}

/// Defines a request without content.
macro_rules! empty_request {
    ($(#[$m:meta])* $name:ident, $tag:literal) => {
        $(#[$m])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name;

        impl $crate::es10::DataObject for $name {
            const TAG: $crate::tlv::Tag = $tag;
            fn write_value(&self, _: &mut $crate::tlv::Writer) {}
            fn read_value(r: &mut $crate::tlv::Reader<'_>) -> Result<Self, $crate::tlv::TlvError> {
                while r.read()?.is_some() {}
                Ok(Self)
            }
        }
    };
}

pub(crate) use {code_response, empty_request, result_codes};
