//! AID.02 chapters 5-7 and Annex B: types, headers, error codes, account id, client
