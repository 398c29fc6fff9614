"""Phone numbers in one form. The same table and rules as in the SDKs for Rust and JavaScript."""

import re
from typing import Optional, Union

# ISO 3166 codes and calling codes (ITU-T E.164).
_COUNTRIES = {
    entry[:2]: entry[2:]
    for entry in (
        "AC247 AD376 AE971 AF93 AG1 AI1 AL355 AM374 AO244 AR54 AS1 AT43 AU61 AW297 AZ994 BA387 BB1 "
        "BD880 BE32 BF226 BG359 BH973 BI257 BJ229 BM1 BN673 BO591 BR55 BS1 BT975 BW267 BY375 BZ501 "
        "CA1 CD243 CF236 CG242 CH41 CI225 CK682 CL56 CM237 CN86 CO57 CR506 CU53 CV238 CY357 CZ420 "
        "DE49 DJ253 DK45 DM1 DO1 DZ213 EC593 EE372 EG20 ER291 ES34 ET251 FI358 FJ679 FM691 FO298 FR33 "
        "GA241 GB44 GD1 GE995 GF594 GG44 GH233 GI350 GL299 GM220 GN224 GP590 GQ240 GR30 GT502 GU1 "
        "GW245 GY592 HK852 HN504 HR385 HT509 HU36 ID62 IE353 IL972 IM44 IN91 IQ964 IR98 IS354 IT39 "
        "JE44 JM1 JO962 JP81 KE254 KG996 KH855 KI686 KM269 KN1 KP850 KR82 KW965 KY1 KZ7 LA856 LB961 "
        "LC1 LI423 LK94 LR231 LS266 LT370 LU352 LV371 LY218 MA212 MC377 MD373 ME382 MG261 MH692 MK389 "
        "ML223 MM95 MN976 MO853 MQ596 MR222 MS1 MT356 MU230 MV960 MW265 MX52 MY60 MZ258 NA264 NC687 "
        "NE227 NG234 NI505 NL31 NO47 NP977 NR674 NZ64 OM968 PA507 PE51 PF689 PG675 PH63 PK92 PL48 PR1 "
        "PS970 PT351 PW680 PY595 QA974 RE262 RO40 RS381 RU7 RW250 SA966 SB677 SC248 SD249 SE46 SG65 "
        "SI386 SK421 SL232 SM378 SN221 SO252 SR597 SS211 ST239 SV503 SY963 SZ268 TC1 TD235 TG228 TH66 "
        "TJ992 TL670 TM993 TN216 TO676 TR90 TT1 TV688 TW886 TZ255 UA380 UG256 US1 UY598 UZ998 VA39 "
        "VC1 VE58 VG1 VI1 VN84 VU678 WS685 XK383 YE967 YT262 ZA27 ZM260 ZW263"
    ).split()
}

# Calling codes where a leading 0 is part of the number.
_ZERO_STAYS = {"39", "225", "241", "242", "378"}


def e164(text: Union[str, int, None], country: str) -> Optional[str]:
    """`+` and 7 to 15 digits (E.164), or None.

    `country` is an ISO code such as `ID`, or a calling code such as `62`; it is where a number comes
    from that names no country. Everything but digits and a leading `+` is dropped. `+` and `00` begin
    an international number; a leading 0 (in Russia and Kazakhstan 8) stands for the country; other
    digits get the country's code before them unless they begin with it.

    >>> e164("0812-3456-7890", "ID")
    '+6281234567890'
    """
    if not isinstance(text, (str, int)) or isinstance(text, bool):
        return None
    trimmed = str(text).strip()
    number = _international(trimmed, re.sub("[^0-9]", "", trimmed), country)
    return f"+{number}" if number is not None and 7 <= len(number) <= 15 else None


def _international(text: str, digits: str, country: str) -> Optional[str]:
    if text.startswith("+"):
        return digits
    if digits.startswith("00"):
        return digits[2:]
    code = _calling_code(country)
    if code is None:
        return None
    trunk = "8" if code == "7" and len(digits) == 11 else "0"
    if digits.startswith(trunk) and code not in _ZERO_STAYS:
        return code + digits[1:]
    return digits if digits.startswith(code) and len(digits) > 9 else code + digits


def _calling_code(country: str) -> Optional[str]:
    """The calling code of `ID`, `62` or `+62`."""
    code = str(country).strip().lstrip("+")
    return code if re.fullmatch("[0-9]{1,3}", code) else _COUNTRIES.get(code.upper())
