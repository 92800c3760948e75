//! SGP.22 data objects, BER-TLV, certificates, BSP, SAIP: shared by card, LPA and SM-DP+
