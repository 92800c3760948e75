//! SGP.22 Local Profile Assistant over an APDU port and an HTTP port
