// Phone numbers in one form. The same table and rules as in the SDKs for Rust and Python.

/** ISO 3166 codes and calling codes (ITU-T E.164). */
const COUNTRIES = new Map(
  (
    "AC247 AD376 AE971 AF93 AG1 AI1 AL355 AM374 AO244 AR54 AS1 AT43 AU61 AW297 AZ994 BA387 BB1 " +
    "BD880 BE32 BF226 BG359 BH973 BI257 BJ229 BM1 BN673 BO591 BR55 BS1 BT975 BW267 BY375 BZ501 " +
    "CA1 CD243 CF236 CG242 CH41 CI225 CK682 CL56 CM237 CN86 CO57 CR506 CU53 CV238 CY357 CZ420 " +
    "DE49 DJ253 DK45 DM1 DO1 DZ213 EC593 EE372 EG20 ER291 ES34 ET251 FI358 FJ679 FM691 FO298 FR33 " +
    "GA241 GB44 GD1 GE995 GF594 GG44 GH233 GI350 GL299 GM220 GN224 GP590 GQ240 GR30 GT502 GU1 " +
    "GW245 GY592 HK852 HN504 HR385 HT509 HU36 ID62 IE353 IL972 IM44 IN91 IQ964 IR98 IS354 IT39 " +
    "JE44 JM1 JO962 JP81 KE254 KG996 KH855 KI686 KM269 KN1 KP850 KR82 KW965 KY1 KZ7 LA856 LB961 " +
    "LC1 LI423 LK94 LR231 LS266 LT370 LU352 LV371 LY218 MA212 MC377 MD373 ME382 MG261 MH692 MK389 " +
    "ML223 MM95 MN976 MO853 MQ596 MR222 MS1 MT356 MU230 MV960 MW265 MX52 MY60 MZ258 NA264 NC687 " +
    "NE227 NG234 NI505 NL31 NO47 NP977 NR674 NZ64 OM968 PA507 PE51 PF689 PG675 PH63 PK92 PL48 PR1 " +
    "PS970 PT351 PW680 PY595 QA974 RE262 RO40 RS381 RU7 RW250 SA966 SB677 SC248 SD249 SE46 SG65 " +
    "SI386 SK421 SL232 SM378 SN221 SO252 SR597 SS211 ST239 SV503 SY963 SZ268 TC1 TD235 TG228 TH66 " +
    "TJ992 TL670 TM993 TN216 TO676 TR90 TT1 TV688 TW886 TZ255 UA380 UG256 US1 UY598 UZ998 VA39 " +
    "VC1 VE58 VG1 VI1 VN84 VU678 WS685 XK383 YE967 YT262 ZA27 ZM260 ZW263"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, 2), entry.slice(2)]),
);

/** Calling codes where a leading 0 is part of the number. */
const ZERO_STAYS = ["39", "225", "241", "242", "378"];

/** See index.d.ts. */
export function e164(text, country) {
  if (typeof text !== "string" && typeof text !== "number" && typeof text !== "bigint") return undefined;
  const trimmed = String(text).trim();
  const number = international(trimmed, trimmed.replace(/[^0-9]/g, ""), country);
  return number !== undefined && /^\d{7,15}$/.test(number) ? `+${number}` : undefined;
}

function international(text, digits, country) {
  if (text.startsWith("+")) return digits;
  if (digits.startsWith("00")) return digits.slice(2);
  const code = callingCode(country);
  if (code === undefined) return undefined;
  const trunk = code === "7" && digits.length === 11 ? "8" : "0";
  if (digits.startsWith(trunk) && !ZERO_STAYS.includes(code)) return code + digits.slice(1);
  return digits.startsWith(code) && digits.length > 9 ? digits : code + digits;
}

/** The calling code of `ID`, `62` or `+62`. */
function callingCode(country) {
  const code = String(country ?? "").trim().replace(/^\++/, "");
  return /^\d{1,3}$/.test(code) ? code : COUNTRIES.get(code.toUpperCase());
}
