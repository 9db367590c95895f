"""Every word that a document prints, in every language in which invoices are written.

`WORDS` are said by the document itself. `PHRASES` are sentences that other rooms have written into a snapshot in
English; they are recognised as a whole and said anew, and what nobody recognises is printed as it stands. In a phrase,
`{rest}` is a phrase again, `{day}` a day, `{span}` first and last day, `{month}` the name of a period, `{amount..}` and
`{count..}` are numbers, and anything else is kept.
"""

LANGUAGES = ("en", "de", "ja")

WORDS: dict[str, tuple[str, str, str]] = {
    # The head.
    "invoice": ("Licence fee invoice", "Rechnung über Lizenzgebühren", "ライセンス料請求書"),
    "credit_note": ("Credit note", "Rechnungskorrektur", "クレジットノート"),
    "draft": ("Draft", "Entwurf", "下書き"),
    "draft_mark": ("DRAFT", "ENTWURF", "下書き"),
    "void_mark": ("VOID", "STORNIERT", "無効"),
    "invoice_number": ("Invoice number", "Rechnungsnummer", "請求書番号"),
    "credit_note_number": ("Credit note number", "Belegnummer", "クレジットノート番号"),
    "issued": ("Issued", "Rechnungsdatum", "発行日"),
    "credit_note_issued": ("Issued", "Ausgestellt am", "発行日"),
    "not_issued": ("Not yet issued", "Noch nicht ausgestellt", "未発行"),
    "due": ("Due", "Zahlbar bis", "お支払期限"),
    "nothing_to_pay": ("Nothing to pay", "Nichts zu zahlen", "お支払いは不要です"),
    "on_receipt": ("On receipt", "Sofort nach Erhalt", "受領後直ちに"),
    "day_after_issue": ("{days} day after issue", "{days} Tag nach Ausstellung", "発行後{days}日以内"),
    "days_after_issue": ("{days} days after issue", "{days} Tage nach Ausstellung", "発行後{days}日以内"),
    "total": ("Total", "Gesamtbetrag", "合計"),
    "total_due": ("Total due", "Zu zahlen", "ご請求額"),
    "total_credit": ("Total credit", "Gutgeschriebener Betrag", "返金・控除額"),
    "billed_to": ("Billed to", "Rechnungsempfänger", "請求先"),
    "under_agreement": ("Under the agreement", "Gemäß Vertrag", "対象契約"),
    "in_force": ("In force {term}", "Laufzeit {term}", "契約期間 {term}"),
    "for_period": ("For the period", "Leistungszeitraum", "対象期間"),
    "days_in_zone": ("Days as counted in {zone}", "Tage nach Ortszeit {zone}", "日付は {zone} の暦日"),
    "tax_id": ("Tax ID", "USt-IdNr./Steuernr.", "登録番号"),
    "purchase_order": ("Your order", "Ihre Bestellnummer", "貴社注文番号"),
    "credits": ("Credit on", "Korrigiert", "対象請求書"),
    "credits_words": (
        "This credit note corrects invoice {number} of {day}.",
        "Diese Rechnungskorrektur berichtigt die Rechnung {number} vom {day}.",
        "本クレジットノートは、{day}発行の請求書 {number} を訂正するものです。",
    ),
    # The lines and what they come to.
    "no": ("No", "Pos.", "No."),
    "description": ("Description", "Beschreibung", "内容"),
    "images_head": ("Images", "Bilder", "画像数"),
    "price": ("Price per image", "Preis je Bild", "単価(画像1枚)"),
    "fee": ("Fee", "Gebühr", "料金"),
    "amount_in": ("Amount, {currency}", "Betrag, {currency}", "金額({currency})"),
    "subtotal": ("Subtotal", "Zwischensumme", "小計"),
    "net": ("Net", "Nettobetrag", "税抜金額"),
    "adjustment_to": ("Adjustment to {span}", "Anpassung für {span}", "{span}分の調整"),
    "tax": ("Tax", "Steuer", "税区分"),
    "rate": ("Rate", "Satz", "税率"),
    "tax_amount": ("Tax amount", "Steuerbetrag", "税額"),
    "tax_total": ("Tax", "Steuer", "消費税等"),
    "tax_standard": ("Taxable", "Steuerpflichtig", "課税"),
    "tax_reverse_charge": (
        "Reverse charge",
        "Steuerschuldnerschaft des Leistungsempfängers",
        "リバースチャージ",
    ),
    "tax_exempt": ("Exempt", "Steuerfrei", "非課税"),
    "tax_outside": ("Outside the scope of tax", "Nicht steuerbar", "不課税"),
    "tax_at": ("Tax {rate}", "Steuer {rate}", "税額({rate})"),
    "payment": ("Payment", "Zahlung", "お支払い"),
    "account_holder": ("Account holder", "Kontoinhaber", "口座名義"),
    "iban": ("IBAN", "IBAN", "IBAN"),
    "bic": ("BIC", "BIC", "BIC"),
    "bank": ("Bank", "Bank", "銀行名"),
    "reference": (
        "Please quote {number} with your payment.",
        "Bitte geben Sie bei der Zahlung {number} an.",
        "お支払いの際は {number} をご記載ください。",
    ),
    # What stands behind the amounts.
    "commitments": ("Commitments", "Zusagen", "最低利用保証"),
    "images": ("images", "Bilder", "枚"),
    "counted_of": (
        "{counted} of {target} {unit}",
        "{counted} {unit} von {target}",
        "{target} {unit}中 {counted} {unit}",
    ),
    "to_go": ("{remaining} {unit} to go", "noch {remaining} {unit}", "残り {remaining} {unit}"),
    "met": ("Met", "Erfüllt", "達成"),
    "notes": ("Notes", "Hinweise", "備考"),
    "workings": ("How these amounts were worked out", "So wurden die Beträge berechnet", "金額の計算過程"),
    "images_a_day": ("Images a day, {span}", "Bilder je Tag, {span}", "日別の画像数 {span}"),
    "chart_words": (
        "{total} images · {average} a day on average · most: {most}",
        "{total} Bilder · im Mittel {average} je Tag · am meisten: {most}",
        "{total}枚 · 1日平均 {average}枚 · 最多: {most}",
    ),
    "most_on": ("{count} on {day}", "{count} am {day}", "{day}の{count}枚"),
    "by_model": ("Images by model and derivative", "Bilder nach Modell und Ableitung", "モデル・派生モデル別の画像数"),
    "model_or_derivative": ("Model or derivative", "Modell oder Ableitung", "モデル・派生モデル"),
    "of_model": ("Of model", "Zu Modell", "元のモデル"),
    "share": ("Share", "Anteil", "割合"),
    "more_derivatives": ("{count} more derivatives", "{count} weitere Ableitungen", "その他の派生モデル {count}件"),
    "by_plan": (
        "Images by plan and by what was made",
        "Bilder nach Tarif und nach Art",
        "プラン・生成物別の画像数",
    ),
    "plan": ("Plan of the platform's users", "Tarif der Nutzer", "利用者のプラン"),
    "no_plan": ("No plan reported", "Kein Tarif gemeldet", "プランの報告なし"),
    "made": ("What was made", "Art", "生成物"),
    "reported": ("Reported", "Gemeldet", "報告数"),
    "images_billed": ("Images billed", "Berechnete Bilder", "請求対象の画像数"),
    "output_image": ("Images", "Bilder", "画像"),
    "output_preview": ("Previews", "Vorschauen", "プレビュー"),
    "output_upscale": ("Upscales", "Vergrößerungen", "拡大"),
    "output_video_frame": ("Video frames", "Videobilder", "動画フレーム"),
    "output_rejected": ("Rejected", "Verworfen", "破棄"),
    # The foot.
    "page_of": ("Page {page} of {pages}", "Seite {page} von {pages}", "{page} / {pages} ページ"),
    "content_hash": ("Content hash", "Prüfsumme", "内容ハッシュ"),
    "verify": (
        "To verify: take this invoice's JSON without content_hash, sort its keys, write it in UTF-8 without spaces; "
        "its SHA-256 is the content hash.",
        "Zum Prüfen: das JSON dieser Rechnung ohne content_hash, mit sortierten Schlüsseln in UTF-8 ohne Leerzeichen "
        "geschrieben, hat diese Prüfsumme als SHA-256.",
        "検証方法: 請求書の JSON から content_hash を除き、キーを整列して空白なしの UTF-8 で書き出すと、"
        "その SHA-256 が内容ハッシュになります。",
    ),
    # Workings of a line.
    "n_images": ("{images} images", "{images} Bilder", "{images}枚"),
    "one_day": ("{days} day", "{days} Tag", "{days}日間"),
    "days": ("{days} days", "{days} Tage", "{days}日間"),
    "from": ("from {day}", "ab {day}", "{day}から"),
    "yes": ("yes", "ja", "はい"),
    "no_word": ("no", "nein", "いいえ"),
    "counted": (
        "{span} ({days}): {images} images counted",
        "{span} ({days}): {images} Bilder gezählt",
        "{span}({days}): {images}枚を計数",
    ),
    "counted_and_estimated": (
        "{span} ({days}): {images} images, {counted} counted and {estimated} estimated",
        "{span} ({days}): {images} Bilder, {counted} gezählt und {estimated} geschätzt",
        "{span}({days}): {images}枚(計数 {counted}枚、推定 {estimated}枚)",
    ),
    "included": (
        ", {included} of them among the {a_month} included a month",
        ", davon {included} unter den {a_month} monatlich enthaltenen",
        "、うち{included}枚は月間無料枠{a_month}枚に含まれます",
    ),
    "estimated": (
        "{images} of {model} estimated for {days} without a report ({span}): {a_day} a day, the average of "
        "{reported} on {reported_days} with a report, {window}, rounded half up",
        "{images} von {model} geschätzt für {days} ohne Meldung ({span}): {a_day} je Tag, im Durchschnitt "
        "{reported} auf {reported_days} mit Meldung, {window}, kaufmännisch gerundet",
        "{model} の{images}は報告のない{days}({span})の推定値: 1日{a_day}枚({window}の報告{reported_days}、"
        "{reported}の平均、四捨五入)",
    ),
    "estimate_ended": (
        "known by now for {days} estimated before ({span}): {reported} of {model} in place of the {images} estimated",
        "inzwischen bekannt, bisher geschätzt ({days}, {span}): {reported} von {model} statt {images}",
        "推定していた{days}({span})が確定: {model} は推定{images}枚に代えて{reported}",
    ),
    "estimate_note": (
        "{days} without a report: {span}. Their images are estimates, not counts. When the reports arrive, the next "
        "invoice bills the difference.",
        "{days} ohne Meldung: {span}. Ihre Bilder sind geschätzt, nicht gezählt. Gehen die Meldungen ein, gleicht die "
        "nächste Rechnung den Unterschied aus.",
        "{days}の報告がありません: {span}。画像数は計数ではなく推定値です。"
        "報告の受領後、差額を次回の請求で精算します。",
    ),
    "capped": (
        "; {above} above the cap of {cap} a month",
        "; {above} über der Obergrenze von {cap} im Monat",
        "。月間上限{cap}枚を{above}枚超過",
    ),
    "packages": (
        "{images} images: {packages} packages of {size} images begun × {price} = {amount}",
        "{images} Bilder: {packages} angefangene Pakete zu {size} Bildern × {price} = {amount}",
        "{images}枚: {size}枚単位で{packages}パック × {price} = {amount}",
    ),
    "priced": (
        "{images} images × {price} = {amount}",
        "{images} Bilder × {price} = {amount}",
        "{images}枚 × {price} = {amount}",
    ),
    "volume": (
        "; {images} images in the month set the price for all of them",
        "; {images} Bilder im Monat bestimmen den Preis für alle",
        "。月間{images}枚により全量の単価が決まります",
    ),
    "last_tier": ("; the last tier", "; die letzte Staffel", "。最上位の段階"),
    "tier_up_to": ("; the tier up to {images} images", "; die Staffel bis {images} Bilder", "。{images}枚までの段階"),
    "prorated": (
        "{fee} × {days} of {of_days} days {equals} {amount}",
        "{fee} × {days} von {of_days} Tagen {equals} {amount}",
        "{fee} × {of_days}日中{days}日 {equals} {amount}",
    ),
    "committed": (
        "{span}: {target} {unit} committed",
        "{span}: {target} {unit} zugesagt",
        "{span}: 保証 {target} {unit}",
    ),
    "of_agreed": (
        " (of {agreed} agreed for the whole term)",
        " (von {agreed} für die ganze Laufzeit vereinbarten)",
        "(全期間の合意 {agreed} のうち)",
    ),
    "carried_in": (
        " + {carried} left over from before",
        " + {carried} Übertrag von vorher",
        " + 前期からの繰越 {carried}",
    ),
    "earlier_excess": (" − {credit} of earlier excess", " − {credit} früherer Überschuss", " − 過去の超過分 {credit}"),
    "missing": (
        " − {counted} counted = {missing} {unit} missing",
        " − {counted} gezählt = {missing} {unit} fehlen",
        " − 計数 {counted} = 不足 {missing} {unit}",
    ),
    "carried_on": (
        ", {carried} of them added to the next target and not charged yet",
        ", davon {carried} dem nächsten Ziel zugerechnet und noch nicht berechnet",
        "、うち{carried}は次期の目標に加算し、まだ請求しません",
    ),
    "in_advance": (
        "{span}: {quantity} {unit} in advance",
        "{span}: {quantity} {unit} im Voraus",
        "{span}: 前払い {quantity} {unit}",
    ),
    "of_whole_period": (
        " (of {agreed} for a whole period)",
        " (von {agreed} für einen ganzen Zeitraum)",
        "(1期間あたり {agreed} のうち)",
    ),
    "ended_before": (
        "; the agreement ended before {day}",
        "; der Vertrag endete vor dem {day}",
        "。契約は{day}より前に終了",
    ),
    "lowered": (
        "; {lowered} {unit} less for what earlier periods used beyond theirs",
        "; {lowered} {unit} weniger für das, was frühere Zeiträume mehr verbrauchten",
        "。過去の超過利用分 {lowered} {unit} を減額",
    ),
    "per": ("{currency} per {unit}", "{currency} je {unit}", "{currency}/{unit}"),
    "instalment": (
        "Part {part} of {parts} of {whole}: {amount}",
        "Rate {part} von {parts} über {whole}: {amount}",
        "{whole} の分割 {parts}回中{part}回目: {amount}",
    ),
    "balance": (
        "Balance for {span}: {before} − {drawn} drawn = {left} {unit} left",
        "Guthaben für {span}: {before} − {drawn} verbraucht = {left} {unit} übrig",
        "{span}の残高: {before} − 使用 {drawn} = 残り {left} {unit}",
    ),
    "of_images": (": {images} of {of} images", ": {images} von {of} Bildern", ": {of}枚中{images}枚"),
    "paid_in_advance": (
        ", {amount} of {of} paid in advance",
        ", {amount} von {of} im Voraus bezahlt",
        "、{of} のうち {amount} は前払い済み",
    ),
    "unused": ("Unused for {span}", "Nicht verbraucht für {span}", "{span}の未使用分"),
    "together": ("Together {amount}", "Zusammen {amount}", "合計 {amount}"),
    "rounded_by": (
        "{said}, rounded {rule}, to {amount}",
        "{said}, {rule} gerundet auf {amount}",
        "{said}、{rule} {amount}",
    ),
    "half_up_once": ("half up, once", "einmal kaufmännisch", "一度だけ四捨五入し"),
    "rounded": (
        "{said}, rounded half up to {amount}",
        "{said}, kaufmännisch gerundet auf {amount}",
        "{said}、四捨五入して {amount}",
    ),
    "exactly": ("{said}, exactly", "{said}, genau", "{said}(端数なし)"),
    "fee_is": ("Fee: {fee}", "Gebühr: {fee}", "料金: {fee}"),
    "line_bills": (
        "{said}; the line bills {amount}",
        "{said}; die Position berechnet {amount}",
        "{said}。この行の請求は {amount}",
    ),
    "by_difference": (
        ": what is owed for the whole service period, rounded once, less what was billed for it before",
        ": was für den ganzen Leistungszeitraum geschuldet ist, einmal gerundet, abzüglich des früher Berechneten",
        "(対象期間全体の債務を一度だけ丸め、既請求額を差し引いた額)",
    ),
}

PHRASES: tuple[tuple[str, str, str], ...] = (
    (
        "{rest}: part {count_a} of {count_b}",
        "{rest}: Rate {count_a} von {count_b}",
        "{rest}: {count_b}回中{count_a}回目",
    ),
    ("Adjustment to {month}: {rest}", "Anpassung für {month}: {rest}", "{month}分の調整: {rest}"),
    ("{rest}, no longer owed", "{rest}, nicht mehr geschuldet", "{rest}(請求取消)"),
    (
        "Credit on invoice {id}, line {place}: {rest}",
        "Gutschrift zu Rechnung {id}, Position {place}: {rest}",
        "請求書 {id} 第{place}行の控除: {rest}",
    ),
    (
        "Interest on invoice {id}, due {day}",
        "Verzugszinsen zu Rechnung {id}, fällig am {day}",
        "請求書 {id}({day}期限)の遅延利息",
    ),
    ("{rest}, {span}", "{rest}, {span}", "{rest}、{span}"),
    ("{text} (agreed)", "{text} (vereinbart)", "{text}(合意済み)"),
    (
        "{rest} (with an estimate of {count_a} images for 1 day without a report)",
        "{rest} (darin {count_a} Bilder geschätzt für 1 Tag ohne Meldung)",
        "{rest}(報告のない1日分の推定 {count_a}枚を含む)",
    ),
    (
        "{rest} (with an estimate of {count_a} images for {count_b} days without a report)",
        "{rest} (darin {count_a} Bilder geschätzt für {count_b} Tage ohne Meldung)",
        "{rest}(報告のない{count_b}日分の推定 {count_a}枚を含む)",
    ),
    (
        "{rest} (reported in place of an estimate of {count_a} images for 1 day without a report)",
        "{rest} (gemeldet anstelle von {count_a} geschätzten Bildern für 1 Tag ohne Meldung)",
        "{rest}(報告のなかった1日分の推定 {count_a}枚を確定値に置換)",
    ),
    (
        "{rest} (reported in place of an estimate of {count_a} images for {count_b} days without a report)",
        "{rest} (gemeldet anstelle von {count_a} geschätzten Bildern für {count_b} Tage ohne Meldung)",
        "{rest}(報告のなかった{count_b}日分の推定 {count_a}枚を確定値に置換)",
    ),
    ("Monthly fee for {text}", "Monatsgebühr für {text}", "月額料金 {text}"),
    ("Images by {text}, no fee due", "Bilder mit {text}, gebührenfrei", "{text} による画像(無料)"),
    ("Included images by {text}", "Enthaltene Bilder mit {text}", "{text} による画像(無料枠内)"),
    (
        "Images above those included, by {text}",
        "Bilder über die enthaltenen hinaus, mit {text}",
        "{text} による画像(無料枠超過)",
    ),
    ("Images by {text}", "Bilder mit {text}", "{text} による画像"),
    ("Shortfall of {text}", "Fehlmenge zu {text}", "不足分 {text}"),
    ("Prepayment of {text}", "Vorauszahlung zu {text}", "前払い {text}"),
    ("Paid from {text}", "Bezahlt aus {text}", "{text} からの充当"),
    ("Refund of what is unused of {text}", "Erstattung des nicht Verbrauchten aus {text}", "{text} の未使用分の返金"),
    ("Given back: {text}", "Zurückgegeben: {text}", "返金・控除の理由: {text}"),
    (
        "{amount_a} {unit} owed in all, {amount_b} {currency} billed before for {count} images; "
        "this line is the difference",
        "insgesamt {amount_a} {unit} geschuldet, {amount_b} {currency} früher für {count} Bilder berechnet; "
        "diese Position ist der Unterschied",
        "債務総額 {amount_a} {unit}、既請求 {amount_b} {currency}({count}枚分)。この行はその差額です",
    ),
    (
        "{amount} {unit} were billed and are owed no more",
        "{amount} {unit} wurden berechnet und sind nicht mehr geschuldet",
        "請求済みの {amount} {unit} は不要となりました",
    ),
    (
        "{span}, {count} nights: {amount_a} {unit} open × {amount_b} % a year × {place} = {amount_c} {currency}",
        "{span}, {count} Nächte: {amount_a} {unit} offen × {amount_b} % im Jahr × {place} = {amount_c} {currency}",
        "{span}、{count}日: 未払い {amount_a} {unit} × 年{amount_b}% × {place} = {amount_c} {currency}",
    ),
    (
        "{day}, {count} night: {amount_a} {unit} open × {amount_b} % a year × {place} = {amount_c} {currency}",
        "{day}, {count} Nacht: {amount_a} {unit} offen × {amount_b} % im Jahr × {place} = {amount_c} {currency}",
        "{day}、{count}日: 未払い {amount_a} {unit} × 年{amount_b}% × {place} = {amount_c} {currency}",
    ),
    (
        "{amount_a} images in {count_a} of {count_b} days; at that pace {amount_b} images by {day}",
        "{amount_a} Bilder in {count_a} von {count_b} Tagen; so weiter wären es {amount_b} Bilder bis zum {day}",
        "{count_b}日中{count_a}日で {amount_a}枚、このペースなら{day}までに {amount_b}枚",
    ),
    (
        "{amount_a} {unit} in {count_a} of {count_b} days; at that pace {amount_b} {currency} by {day}",
        "{amount_a} {unit} in {count_a} von {count_b} Tagen; so weiter wären es {amount_b} {currency} bis zum {day}",
        "{count_b}日中{count_a}日で {amount_a} {unit}、このペースなら{day}までに {amount_b} {currency}",
    ),
    ("counted, not billed under the terms", "gezählt, laut Vertrag nicht berechnet", "計数のみ、契約により請求対象外"),
    (
        "billed as the terms in force on each day say",
        "berechnet nach den am jeweiligen Tag geltenden Bedingungen",
        "各日に有効な条件に従って請求",
    ),
    ("each counts as {amount} of an image", "jedes zählt als {amount} eines Bildes", "1件を画像{amount}枚として計数"),
    (
        "Interest for late payment is no supply and bears no tax.",
        "Verzugszinsen sind kein Entgelt für eine Leistung und nicht steuerbar.",
        "遅延利息は資産の譲渡等の対価ではなく、課税されません。",
    ),
)
