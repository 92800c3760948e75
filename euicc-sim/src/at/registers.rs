//! S-parameters of ITU-T V.250 §5.3.2, §6.2.1 to §6.2.3, §6.3.8 to §6.3.12. Those for characters change
//! how lines are read and written; the others are for calls and are only kept.

/// Number, default, lowest and highest value.
const KNOWN: [(u32, u8, u8, u8); 8] = [
    // Rings before an automatic answer; 0: never.
    (0, 0, 0, 255),
    (TERMINATOR, 13, 0, 127),
    (FORMATTER, 10, 0, 127),
    (EDITOR, 8, 0, 127),
    // Pause before blind dialling, time for a connection, pause of a comma, delay of a disconnection.
    (6, 2, 2, 10),
    (7, 60, 1, 255),
    (8, 2, 0, 255),
    (10, 15, 1, 254),
];

const TERMINATOR: u32 = 3;
const FORMATTER: u32 = 4;
const EDITOR: u32 = 5;

/// The values of all registers that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registers([u8; KNOWN.len()]);

impl Default for Registers {
    fn default() -> Self {
        Self(KNOWN.map(|(_, default, ..)| default))
    }
}

impl Registers {
    /// The value of a register, `None` where there is none.
    pub(super) fn get(&self, number: u32) -> Option<u8> {
        let at = KNOWN.iter().position(|(n, ..)| *n == number)?;
        self.0.get(at).copied()
    }

    /// Sets a register; `None` where there is none, or its range has no such value.
    pub(super) fn set(&mut self, number: u32, value: u32) -> Option<()> {
        let at = KNOWN.iter().position(|(n, ..)| *n == number)?;
        let (_, _, lowest, highest) = KNOWN[at];
        let value = u8::try_from(value).ok()?;
        *self.0.get_mut(at)? = Some(value).filter(|v| (lowest..=highest).contains(v))?;
        Some(())
    }

    /// S3: the character that ends a command line and a result code.
    pub(super) fn terminator(&self) -> u8 {
        self.get(TERMINATOR).unwrap_or(b'\r')
    }

    /// S4: the character after it in a result code.
    pub(super) fn formatter(&self) -> u8 {
        self.get(FORMATTER).unwrap_or(b'\n')
    }

    /// S5: the character that takes the last one back.
    pub(super) fn editor(&self) -> u8 {
        self.get(EDITOR).unwrap_or(8)
    }
}
