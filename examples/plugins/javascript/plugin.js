// @ts-check
import { drop, e164, path, values } from "antar-sdk";

export const description = "Makes a Salesforce lead of a conversation's event.";

export const config = {
  type: "object",
  properties: {
    country: {
      type: "string",
      default: "ID",
      description: "Where a phone number comes from that names no country: ID, or a calling code such as 62.",
    },
    source: { type: "string", default: "Chat", description: "What the lead's source says." },
  },
  additionalProperties: false,
};

/** Lengths of the fields, by Salesforce's reference of the object Lead. */
const LENGTHS = { LastName: 80, FirstName: 40, Company: 255, Email: 80, LeadSource: 255, Description: 32_000 };

/** @type {import("antar-sdk").Transform<{ country?: string, source?: string }>} */
export const transform = ({ data }, { country = "ID", source = "Chat" }) => {
  const user = path(data, "conversation.userData") ?? {};
  const phone = e164(user.phone, country);
  if (!phone && !user.email) return drop("neither an e-mail address nor a phone number");
  const [first, ...rest] = String(user.name ?? "").trim().split(/\s+/);
  const lead = {
    LastName: rest.join(" ") || first || phone || user.email,
    FirstName: rest.length > 0 ? first : undefined,
    Company: user.company || "unknown",
    Phone: phone,
    Email: user.email,
    LeadSource: source,
    // Whole numbers beyond 2^53 are BigInts, and keep all their digits in a text.
    Description: `Conversation ${data.conversation.id}: ${values(data, "conversation.labels").join(", ") || "no label"}`,
  };
  for (const [field, length] of Object.entries(LENGTHS)) lead[field] = lead[field]?.slice(0, length);
  return lead;
};
