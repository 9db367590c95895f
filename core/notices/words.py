"""Every sentence of an e-mail, in every language in which accounts are written to: English, German, Japanese.

A kind of notice has a subject and a text, as `kind.subject` and `kind.text`; what is said only sometimes has a key of
its own. What only a licensor is told (drafts that are held, endpoints that are switched off) is in English alone.
"""

WORDS: dict[str, tuple[str, str, str] | tuple[str]] = {
    "images": ("images", "Bildern", "枚"),
    "invoice.issued.subject": (
        "Invoice {invoice} from {licensor_name}: {total}",
        "Rechnung {invoice} von {licensor_name}: {total}",
        "請求書 {invoice}({licensor_name}): {total}",
    ),
    "invoice.issued.text": (
        "{licensor_name} has issued invoice {invoice} to {licensee_name} for {period}, agreement {agreement}: {total}.",
        "{licensor_name} hat {licensee_name} für {period} (Vertrag {agreement}) die Rechnung {invoice} über {total} "
        "gestellt.",
        "{licensor_name} は {licensee_name} 様に、{period}分(契約 {agreement})の請求書 {invoice} を発行しました。"
        "ご請求額は {total} です。",
    ),
    "invoice.issued.due": (
        " It is due on {due_on}.",
        " Sie ist am {due_on} fällig.",
        "お支払期限は {due_on} です。",
    ),
    "credit_note.issued.subject": (
        "Credit note {invoice} from {licensor_name}: {total}",
        "Rechnungskorrektur {invoice} von {licensor_name}: {total}",
        "クレジットノート {invoice}({licensor_name}): {total}",
    ),
    "credit_note.issued.text": (
        "{licensor_name} has issued credit note {invoice} to {licensee_name} for {period}, agreement {agreement}: "
        "{total}.",
        "{licensor_name} hat {licensee_name} für {period} (Vertrag {agreement}) die Rechnungskorrektur {invoice} über "
        "{total} ausgestellt.",
        "{licensor_name} は {licensee_name} 様に、{period}分(契約 {agreement})のクレジットノート {invoice} を"
        "発行しました。金額は {total} です。",
    ),
    "invoice.due_soon.subject": (
        "Invoice {invoice} is due on {due_on}",
        "Rechnung {invoice} ist am {due_on} fällig",
        "請求書 {invoice} のお支払期限は {due_on} です",
    ),
    "invoice.due_soon.text": (
        "Of invoice {invoice} from {licensor_name} to {licensee_name} for {period}, {left} is open. It is due on "
        "{due_on}.",
        "Von der Rechnung {invoice} von {licensor_name} an {licensee_name} für {period} sind {left} offen. Sie ist am "
        "{due_on} fällig.",
        "{licensor_name} から {licensee_name} 様への{period}分の請求書 {invoice} のうち、{left} が未払いです。"
        "お支払期限は {due_on} です。",
    ),
    "invoice.overdue.subject": (
        "Invoice {invoice} is overdue",
        "Rechnung {invoice} ist überfällig",
        "請求書 {invoice} のお支払期限が過ぎています",
    ),
    "invoice.overdue.text": (
        "Of invoice {invoice} from {licensor_name} to {licensee_name} for {period}, {left} is still open. It was due "
        "on {due_on}.",
        "Von der Rechnung {invoice} von {licensor_name} an {licensee_name} für {period} sind noch {left} offen. Sie "
        "war am {due_on} fällig.",
        "{licensor_name} から {licensee_name} 様への{period}分の請求書 {invoice} のうち、{left} がまだ未払いです。"
        "お支払期限は {due_on} でした。",
    ),
    "invoice.held.subject": ("{invoice} for {licensee_name} is held",),
    "invoice.held.text": (
        "The draft {invoice} for {licensee_name}, {period}, {total}, is held and will not be issued until somebody has "
        "decided:\n\n{reasons}",
    ),
    "commitment.reached.subject": (
        "{percent} of commitment {commitment} reached",
        "{percent} der Zusage {commitment} erreicht",
        "最低利用保証 {commitment} の {percent} に達しました",
    ),
    "commitment.reached.text": (
        "{licensee_name} has reached {percent} of the commitment {commitment} for {period} under agreement {agreement} "
        "with {licensor_name}: {counted} of {target} {unit}.\n\n{forecast}.",
        "{licensee_name} hat {percent} der Zusage {commitment} für {period} aus dem Vertrag {agreement} mit "
        "{licensor_name} erreicht: {counted} von {target} {unit}.\n\n{forecast}.",
        "{licensee_name} 様は、{licensor_name} との契約 {agreement} による{period}の最低利用保証 {commitment} の "
        "{percent} に達しました({target} {unit}のうち {counted} {unit})。\n\n{forecast}。",
    ),
    "cap.near.subject": (
        "{percent} of the images of {subject} for {period} used",
        "{percent} der Bilder von {subject} für {period} verbraucht",
        "{period}の {subject} の画像枠の {percent} を使用しました",
    ),
    "cap.near.text": (
        "{licensee_name} has used {counted} of the {images} images of {subject} that agreement {agreement} with "
        "{licensor_name} allows for {period}. {beyond}",
        "{licensee_name} hat {counted} der {images} Bilder von {subject} verbraucht, die der Vertrag {agreement} mit "
        "{licensor_name} für {period} erlaubt. {beyond}",
        "{licensee_name} 様は、{licensor_name} との契約 {agreement} で{period}に認められた {subject} の画像 "
        "{images}枚のうち {counted}枚を使用しました。{beyond}",
    ),
    "cap.hard": (
        "Images above it are refused.",
        "Bilder darüber werden abgewiesen.",
        "上限を超える画像は受け付けられません。",
    ),
    "cap.soft": (
        "Images above it are counted, billed and flagged.",
        "Bilder darüber werden gezählt, berechnet und gekennzeichnet.",
        "上限を超える画像も計数・請求され、超過分として表示されます。",
    ),
    "usage.missing.subject": (
        "No usage report from {licensee_name} for {day}",
        "Keine Nutzungsmeldung von {licensee_name} für den {day}",
        "{licensee_name} 様の {day} の利用報告がありません",
    ),
    "usage.missing.text": (
        "{licensee_name} has reported nothing for {day} under agreement {agreement} with {licensor_name}. {advice}",
        "{licensee_name} hat für den {day} zum Vertrag {agreement} mit {licensor_name} nichts gemeldet. {advice}",
        "{licensor_name} との契約 {agreement} について、{licensee_name} 様から {day} の報告がありません。{advice}",
    ),
    "usage.missing.days": (
        "{licensee_name} has reported nothing since {since}, {days} days, under agreement {agreement} with "
        "{licensor_name}. {advice}",
        "{licensee_name} hat seit dem {since}, also {days} Tage lang, zum Vertrag {agreement} mit {licensor_name} "
        "nichts gemeldet. {advice}",
        "{licensor_name} との契約 {agreement} について、{licensee_name} 様から {since} 以降 {days}日間、"
        "報告がありません。{advice}",
    ),
    "usage.missing.advice": (
        "If there were no images, a zero report says so; otherwise the reports are missing.",
        "Gab es keine Bilder, so sagt das eine Nullmeldung; sonst fehlen die Meldungen.",
        "画像がなかった場合はゼロ報告をお送りください。そうでなければ報告が届いていません。",
    ),
    "webhook.switched_off.subject": ("Webhook endpoint {endpoint} is switched off",),
    "webhook.switched_off.text": (
        "Nothing is sent to {url} any more: {reason}. The last answer was: {last_answer}\n\nOnce it works again: "
        "perimage notices switch-on {endpoint}, then perimage notices replay --endpoint {endpoint}.",
    ),
}
