#!/usr/bin/env bash
# nodemailer: what most JavaScript programs send with; pooled, STARTTLS, several messages over one connection.
. "$(dirname "$0")/lib.sh"
needs node
node -e "require('nodemailer')" 2>/dev/null || { echo "skipped: nodemailer is not installed"; exit 77; }

INVOICES="facturen@voorbeeldhypotheken.nl" node - <<'JS'
const fs = require("fs");
const nodemailer = require("nodemailer");
const transport = nodemailer.createTransport({
  host: "localhost",
  port: Number(process.env.SMTP.split(":").pop()),
  requireTLS: true,
  pool: true,
  maxConnections: 1,
  auth: { user: process.env.ACCOUNT, pass: process.env.PASSWORD },
  tls: { ca: fs.readFileSync(process.env.AUTHORITY) },
});
const send = (n) =>
  transport.sendMail({
    from: { name: "Voorbeeld Hypotheken", address: process.env.INVOICES },
    to: "klant@example.org",
    subject: "interop",
    text: `nodemailer-${n}\n.\nend`,
    html: `<p>nodemailer-html-${n}</p>`,
  });
(async () => {
  for (let n = 1; n <= 3; n += 1) await send(n);
  transport.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
JS
for n in 1 2 3; do sent_with "nodemailer-$n" >/dev/null; done
echo "ok: three messages over one connection, STARTTLS with sign-in"
