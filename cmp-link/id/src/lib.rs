//! Identifiers shared by every part: EID, ICCID, MSP token, activation code
