//! Phone numbers in E.164 form.

/// ISO 3166 codes and calling codes (ITU-T E.164).
const COUNTRIES: &str = "AC247 AD376 AE971 AF93 AG1 AI1 AL355 AM374 AO244 AR54 AS1 AT43 AU61 AW297 \
AZ994 BA387 BB1 BD880 BE32 BF226 BG359 BH973 BI257 BJ229 BM1 BN673 BO591 BR55 BS1 BT975 BW267 BY375 \
BZ501 CA1 CD243 CF236 CG242 CH41 CI225 CK682 CL56 CM237 CN86 CO57 CR506 CU53 CV238 CY357 CZ420 DE49 \
DJ253 DK45 DM1 DO1 DZ213 EC593 EE372 EG20 ER291 ES34 ET251 FI358 FJ679 FM691 FO298 FR33 GA241 GB44 \
GD1 GE995 GF594 GG44 GH233 GI350 GL299 GM220 GN224 GP590 GQ240 GR30 GT502 GU1 GW245 GY592 HK852 HN504 \
HR385 HT509 HU36 ID62 IE353 IL972 IM44 IN91 IQ964 IR98 IS354 IT39 JE44 JM1 JO962 JP81 KE254 KG996 \
KH855 KI686 KM269 KN1 KP850 KR82 KW965 KY1 KZ7 LA856 LB961 LC1 LI423 LK94 LR231 LS266 LT370 LU352 \
LV371 LY218 MA212 MC377 MD373 ME382 MG261 MH692 MK389 ML223 MM95 MN976 MO853 MQ596 MR222 MS1 MT356 \
MU230 MV960 MW265 MX52 MY60 MZ258 NA264 NC687 NE227 NG234 NI505 NL31 NO47 NP977 NR674 NZ64 OM968 \
PA507 PE51 PF689 PG675 PH63 PK92 PL48 PR1 PS970 PT351 PW680 PY595 QA974 RE262 RO40 RS381 RU7 RW250 \
SA966 SB677 SC248 SD249 SE46 SG65 SI386 SK421 SL232 SM378 SN221 SO252 SR597 SS211 ST239 SV503 SY963 \
SZ268 TC1 TD235 TG228 TH66 TJ992 TL670 TM993 TN216 TO676 TR90 TT1 TV688 TW886 TZ255 UA380 UG256 US1 \
UY598 UZ998 VA39 VC1 VE58 VG1 VI1 VN84 VU678 WS685 XK383 YE967 YT262 ZA27 ZM260 ZW263";

/// Calling codes where a leading 0 is part of the number.
const ZERO_STAYS: [&str; 5] = ["39", "225", "241", "242", "378"];

/// Converts a phone number to `+` and 7 to 15 digits (E.164), or returns None. `country` is an ISO
/// code such as `ID`, or a calling code such as `62`; it applies to numbers that name no country.
///
/// All characters but digits and a leading `+` are removed. `+` and `00` begin an international
/// number. A leading 0 (in Russia and Kazakhstan 8) is replaced by the calling code, except in
/// countries where it is part of the number. Other digits are prefixed with the calling code unless
/// they already begin with it.
///
/// ```
/// use antar_sdk::phone::e164;
/// assert_eq!(e164("0812-3456-7890", "ID").as_deref(), Some("+6281234567890"));
/// assert_eq!(e164("+1 (415) 555-0123", "ID").as_deref(), Some("+14155550123"));
/// assert_eq!(e164("call me", "ID"), None);
/// ```
pub fn e164(text: &str, country: &str) -> Option<String> {
    let text = text.trim();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let number = if text.starts_with('+') {
        digits
    } else if let Some(number) = digits.strip_prefix("00") {
        number.to_owned()
    } else {
        let code = calling_code(country)?;
        let trunk = if code == "7" && digits.len() == 11 { '8' } else { '0' };
        match digits.strip_prefix(trunk) {
            Some(national) if !ZERO_STAYS.contains(&code) => format!("{code}{national}"),
            _ if digits.starts_with(code) && digits.len() > 9 => digits,
            _ => format!("{code}{digits}"),
        }
    };
    (7..=15).contains(&number.len()).then(|| format!("+{number}"))
}

/// The calling code of `ID`, `62` or `+62`.
fn calling_code(country: &str) -> Option<&str> {
    let code = country.trim().trim_start_matches('+');
    if (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit()) {
        return Some(code);
    }
    let is_it = |entry: &&str| entry.get(..2).is_some_and(|name| name.eq_ignore_ascii_case(code));
    COUNTRIES.split_ascii_whitespace().find(is_it).and_then(|entry| entry.get(2..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_out_in_one_form() {
        for (text, country, expected) in [
            ("0812 3456 7890", "id", "+6281234567890"),
            ("62812-3456-7890", "ID", "+6281234567890"),
            ("812-3456-7890", "+62", "+6281234567890"),
            ("0049 30 123456", "ID", "+4930123456"),
            ("(415) 555-0123", "US", "+14155550123"),
            ("1 415 555 0123", "US", "+14155550123"),
            ("06 1234 5678", "IT", "+390612345678"),
            ("8 (912) 345-67-89", "RU", "+79123456789"),
            ("6012 3456", "MY", "+6060123456"),
        ] {
            assert_eq!(e164(text, country).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for (text, country) in
            [("", "ID"), ("12", "ID"), ("0812", "XX"), ("+1234567890123456", "ID")]
        {
            assert_eq!(e164(text, country), None, "{text}");
        }
    }

    #[test]
    fn every_country_is_two_letters_and_a_code() {
        let mut names = Vec::new();
        for entry in COUNTRIES.split_ascii_whitespace() {
            let (name, code) = entry.split_at(2);
            assert!(name.bytes().all(|b| b.is_ascii_uppercase()), "{entry}");
            assert!((1..=3).contains(&code.len()) && !code.starts_with('0'), "{entry}");
            names.push(name);
        }
        assert!(names.is_sorted_by(|a, b| a < b) && names.len() > 200);
    }
}
