"""
What people say: scenarios as plain data.

`c` is the customer, `a` the representative, `b` the bot; of several wordings one is drawn. A turn whose speaker carries
a kind (`c:photo`, `a:rich_link`, ...) is a message of that kind around the wording.
"""

from __future__ import annotations

from dataclasses import dataclass

Turn = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A reason to get in touch: the bot's topic, the language, the turns (who, wording, wording, ...)."""

    name: str
    topic: str
    language: str
    turns: tuple[Turn, ...]


MESSAGING = (
    Scenario("order tracking", "Delivery", "en_US", (
        ("c", "Hi, where is my order {order}? It should have been here on {weekday}.",
              "Hello! Order {order} says \"in transit\" since {weekday}. Any news? 🙏",
              "My parcel ({order}) still hasn't shown up. The tracking page shows nothing new."),
        ("a", "Hi {first}, thanks for reaching out. Let me look up {order} for you.",
              "Hello {first}! I'm checking the carrier's page for {order} right now."),
        ("a", "It was scanned in {city} last night, so it is moving. The carrier now says {next_day} before noon.",
              "I can see it: it missed a connection in {city}. New estimate is {next_day}."),
        ("c", "OK, but I leave for the mountains on {next_day} 😬 can it go to a pickup point instead?",
              "Thanks. Could you leave a note that they can drop it behind the shed?",
              "Is there any way to speed that up? It's a birthday present & the birthday is {next_day}..."),
        ("a:rich_link", "Done. I've added a note for the driver, you can follow it here.",
                        "I've asked the carrier to give it priority. Here is the live page for your parcel."),
        ("c", "Perfect, thank you so much!", "Great, thx 👍", "That helps. Thanks, {agent}."),
        ("a", "You're welcome, {first}. Enjoy the trip!", "Any time. Have a good one!"),
    )),
    Scenario("parcel marked delivered", "Delivery", "en_US", (
        ("c", "The carrier says {order} was delivered on {weekday} but there is nothing at my door",
              "Tracking for {order} shows \"Delivered, left with neighbor\". I asked all of them. Nobody has it."),
        ("a", "That's not what anybody wants to read. Did you have a look around the garage and the mail room?"),
        ("c", "Yes. Garage, porch, mail room, even the dumpster 😅", "I did, twice."),
        ("a", "Thank you for checking. May I confirm the delivery address we have? Is it still the one in {city}?"),
        ("c", "yes that's right", "Correct, same as always."),
        ("a", "I'm opening a search with the carrier. It takes up to 3 working days; if nothing turns up by {next_day} "
              "we'll send the {product} again at no cost."),
        ("c", "That's fair. Will I get an email about it?"),
        ("a", "Yes, to the address on your account. Your reference is {case}.",
              "You will, within the hour. Reference {case}, just in case."),
        ("c", "ok great, thanks for sorting this out"),
    )),
    Scenario("return", "Returns", "en_US", (
        ("c", "I'd like to return the {product} from order {order}. It's unused.",
              "How do I send something back? Order {order}, the {product}. Doesn't suit me.",
              "Return question: bought the {product} 3 weeks ago, tags still on. Am I too late?"),
        ("a", "No problem at all, {first}. You have 60 days, so you're well inside.",
              "Happy to help with that. Would you like a refund or an exchange?"),
        ("c", "Refund please.", "A refund would be great.", "Could I swap it for size {size} instead?"),
        ("a:label", "Here is your prepaid label. Any drop-off point will take it.",
                    "I've made a label for you. Print it, stick it on, done. No printer? They scan your phone."),
        ("c", "And when do I get the money back?", "How long does it take until I see the refund?"),
        ("a", "Within 5 business days after the parcel reaches us: ${amount}, back to the card you paid with.",
              "Usually 3 to 5 business days once it's here. You'll get an email at every step."),
        ("c", "Awesome, thanks!", "Cool. That was easy 😊"),
        ("a", "Glad to hear it. Anything else I can do for you today?"),
        ("c", "no that's it", "Nope, all good!"),
    )),
    Scenario("sizing advice", "Sizing", "en_US", (
        ("c", "Hey! I'm between M and L in the {product}, 6'1\" and about 180 lbs. Which one?",
              "Question about size for the {product}: does it run small? I'm usually a {size}.",
              "Do the Talus boots come up narrow? I wear 43 in most brands but have wide feet"),
        ("a", "Good question! Will you wear it over a fleece or mostly over a base layer?",
              "It has a regular cut, so there's a bit of room. What will you use it for?"),
        ("c", "Mostly over a thick fleece, ski touring in winter.", "Day hikes, nothing extreme."),
        ("a:size_chart", "Then have a look at the chart. Which of these is closest to your measurements?"),
        ("c:pick", ""),
        ("a", "Then I'd go for that one. Sleeves stay long enough when you reach up, and it's free to exchange anyway.",
              "In that case I would take the larger one: warm air needs room."),
        ("c", "Makes sense. Is it in stock in \"Glacier Blue\"?", "ok! and is the green darker than in the pictures?"),
        ("a:carousel", "These are the ones we have in your size right now."),
        ("c:pick", ""),
        ("c", "Ordered! Thanks a bunch 🏔️", "Got it, will order tonight."),
    )),
    Scenario("tent pole", "Warranty", "en_US", (
        ("c", "One of the poles of my Larch 2 tent snapped on the second night 😩",
              "Tent pole broken!! Larch 2, bought last summer. Middle segment split lengthwise."),
        ("a", "Oh no, I hope you stayed dry. Could you send a photo of the break?",
              "Sorry to hear that! A picture of the segment would help me find the right part."),
        ("c:photo", "Here you go", "this is the one, third from the end"),
        ("a", "Thank you, that's clearly a material fault and covered by our lifetime repair promise."),
        ("c", "So do I need to send in the whole tent? We're going again on {next_day}...",
              "Do I have to mail the whole thing? It's heavy."),
        ("a", "No need: I'm sending you a spare pole set and a repair sleeve.\nThe sleeve slides over the break "
              "and holds with tape, so you can go on {next_day} either way.",
              "Keep the tent. A new pole set leaves today, express, no charge."),
        ("c", "You people are the best. Seriously.", "Wow, didn't expect that. Thank you!!"),
        ("a", "Our pleasure, {first}. Reference is {case} if anything comes up."),
        ("c", "👍👍"),
    )),
    Scenario("leaking jacket", "Warranty", "en_US", (
        ("c", "My Ridgeline rain shell lets water through at the shoulders. 14 months old, order {order}",
              "Isn't a \"waterproof\" jacket supposed to keep water out? Mine is soaked after an hour."),
        ("a", "That's frustrating. Has it been washed and re-proofed since you bought it?"),
        ("c", "Washed yes, re-proofed no. Didn't know I had to.", "Both, with the stuff you sell."),
        ("a", "It often helps: wash at 86 °F, tumble dry low for 20 minutes, that wakes the coating up again.\n\n"
              "If it still leaks after that, it goes to our repair team at no cost."),
        ("c", "ok will try. And if it doesn't work?", "I'd rather send it in, I need it to work."),
        ("a:form", "Then please fill in the repair form, it takes a minute."),
        ("c:form", ""),
        ("a", "Got it. You'll receive a box in the mail by {next_day}. Repairs take about 12 days.",
              "Thanks, that's all I need. Your repair number is {case}."),
        ("c", "Thanks {agent}, appreciate it."),
    )),
    Scenario("invoice", "Invoice", "en_US", (
        ("c", "Could you send me the invoice for {order}? I need it with my company name for taxes.",
              "Hi there, I was charged twice for {order}?? 2 x ${amount}"),
        ("a", "Sure, one moment please.", "Let me check that for you right away, {first}."),
        ("a", "I found the order. The second amount is only a reservation by your bank and drops off in 2-3 days; "
              "the invoice says ${amount} once.",
              "Here it comes, it's also in your account under \"Orders\"."),
        ("a:document", "This is the invoice as a PDF."),
        ("c", "Got it. It's addressed to my private address though, can you change that to {last} & Sons LLC?",
              "Perfect, that's what I needed."),
        ("a", "Done. The corrected one is on its way to {email}.", "Great! Anything else?"),
        ("c", "no thank you, bye", "All good, thanks."),
    )),
    Scenario("store hours", "Stores", "en_US", (
        ("c", "Is the {city} store open on {next_day}? Google says one thing, your site another.",
              "hi what time do you close in {city} today"),
        ("a", "{city} is open 10 to 7 on weekdays and 11 to 5 on Sundays.",
              "Today until 7 pm! The fitting service takes last customers at 6:15."),
        ("c", "Can I try on boots without an appointment?", "and can I pick up an online order there?"),
        ("a:time_slots", "Walk in any time, but if you like I can hold a fitting slot for you."),
        ("c:pick", ""),
        ("a", "Booked. Bring the socks you'd wear on the trail 🙂"),
        ("c", "ha, will do. thanks!", "Thanks!"),
    )),
    Scenario("stove not lighting", "Warranty", "en_US", (
        ("c", "The Ember stove won't light any more. It clicks but there's no spark.",
              "igniter on my ember gas stove is dead after 2 trips"),
        ("a", "Thanks for the details. Is there a spark gap of about 4 mm between the wire and the burner?"),
        ("c", "Let me check... looks like the wire is bent", "no idea, how do I see that?"),
        ("a:video", "Have a look at this clip, it shows how to set the gap."),
        ("c", "that worked!! 🔥", "Tried it, sparks now but only every third click."),
        ("a", "Excellent. If it happens again we'll send you a new igniter, no questions asked.",
              "Good start. I'm sending you a new igniter anyway, it takes one screw to swap."),
        ("c", "Thank you {agent} :)", "great service as always"),
    )),
    Scenario("cancel order", "Delivery", "en_US", (
        ("c", "I ordered the wrong color by mistake. Can you cancel {order}? Placed it 20 min ago",
              "Please cancel {order}, I found it cheaper elsewhere (sorry!)"),
        ("a", "Let me see whether the warehouse has started on it...", "One moment, {first}, I'll try to catch it."),
        ("a", "You're in luck: it's cancelled. The ${amount} are released right away.",
              "It's already packed, I'm afraid. If you refuse the parcel at the door it comes straight back to us."),
        ("c", "phew, thanks!", "Hmm ok. That works too I guess."),
        ("a", "Would you like me to order it again in the right color?"),
        ("c", "No thanks, I'll do it myself tonight.", "yes please!! the moss green one"),
        ("a", "Sure thing. Have a lovely evening."),
    )),
    Scenario("gift card", "Invoice", "en_US", (
        ("c", "My gift card code isn't accepted at checkout. It says \"invalid\" but I only got it on {weekday}",),
        ("a", "Let's fix that. Does the code start with the letters NPG?"),
        ("c", "It starts with NPC I think? Hard to read", "yes it does"),
        ("a", "The C is a G, the print is a little thin. Could you try once more, without spaces?"),
        ("c", "It works now 🤦 thank you", "nope, still \"code not found\""),
        ("a", "I've put the ${amount} on your account as a credit, so you don't need the code at all.",
              "Wonderful! Enjoy your new gear."),
    )),
    Scenario("Lieferung", "Lieferung", "de", (
        ("c", "Hallo, wo bleibt meine Bestellung {order}? Sie sollte am {weekday} da sein.",
              "Guten Tag, laut Sendungsverfolgung liegt mein Paket ({order}) seit {weekday} in {city} herum."),
        ("a", "Hallo {first}, ich schaue gleich nach.", "Guten Tag! Einen kleinen Moment, ich prüfe das für Sie."),
        ("a", "Das Paket wurde in {city} falsch sortiert und ist jetzt unterwegs. Zustellung wohl {next_day}.",
              "Ich sehe es: Die Hausnummer fehlte auf dem Etikett. Ich habe sie ergänzt."),
        ("c", "Schön wär's. Ich fahre am {next_day} nämlich in die Alpen 😅", "Geht es auch an eine Packstation?"),
        ("a:rich_link", "Erledigt. Hier können Sie die Sendung live verfolgen."),
        ("c", "Super, vielen Dank!", "Danke für die schnelle Hilfe, {agent}."),
        ("a", "Sehr gern. Schöne Tour und viele Grüße!", "Gern geschehen, einen schönen Tag noch!"),
    )),
    Scenario("Rückgabe", "Rückgabe", "de", (
        ("c", "Ich möchte: {product} aus Bestellung {order} zurückschicken, passt leider nicht.",
              "Wie läuft das mit der Rückgabe? Größe {size} ist viel zu groß."),
        ("a", "Kein Problem, {first}. Umtausch oder Geld zurück?"),
        ("c", "Umtausch gegen eine Nummer kleiner, bitte.", "Geld zurück, bitte."),
        ("a:label", "Hier ist der Rücksendeaufkleber. Einfach ausdrucken und abgeben."),
        ("c", "Ich habe keinen Drucker – geht das auch mit dem Handy?", "Danke! Und die Versandkosten?"),
        ("a", "Ja, den QR-Code auf Seite 2 scannen die im Laden.", "Die übernehmen natürlich wir."),
        ("c", "Prima, dankeschön!", "Großartig, tschüss!"),
    )),
    Scenario("Zelt undicht", "Garantie", "de", (
        ("c", "Unser Larch 2 Zelt tropft an der Naht über der Tür. Öfter als zehnmal war es nicht draußen.",
              "Die Naht am Zelt löst sich, das kann doch nicht sein?!"),
        ("a", "Das tut mir leid. Könnten Sie mir ein Foto der Stelle schicken?"),
        ("c:photo", "Bitte sehr, hier sieht man's gut", "Foto kommt"),
        ("a", "Danke, eindeutig. Das reparieren wir kostenlos, auch nach Ablauf der Gewährleistung."),
        ("c", "Wie lange dauert das? Wir wollten übernächste Woche nach Südtirol."),
        ("a", "Wenn es bis {next_day} hier ist, haben Sie es rechtzeitig zurück. Vorgangsnummer {case}."),
        ("c", "Perfekt. Vielen Dank für die unkomplizierte Hilfe!", "Ok, dann schicke ich es heute noch los."),
    )),
    Scenario("Größenberatung", "Größenberatung", "de", (
        ("c", "Fallen die Talus Wanderstiefel eher klein aus? Ich trage sonst 42.",
              "Welche Rückenlänge brauche ich beim Moraine 45? Ich bin 1,86 m groß."),
        ("a", "Im Zehenbereich etwas schmal. Mit dicken Socken empfehle ich eine halbe Nummer größer.",
              "Bei Ihrer Größe meist L, entscheidend ist aber die Rückenlänge."),
        ("a:size_chart", "Hier ist die Tabelle. Was passt am ehesten?"),
        ("c:pick", ""),
        ("a", "Dann liegen Sie damit genau richtig."),
        ("c", "Danke, dann bestelle ich die.", "Super Beratung 👍"),
    )),
    Scenario("Rechnung", "Rechnung", "de", (
        ("c", "Ich brauche für {order} eine Rechnung mit ausgewiesener Mehrwertsteuer."),
        ("a", "Gern. Auf welchen Namen soll sie lauten?"),
        ("c", "{last} & Söhne GmbH, bitte", "Auf mich, {first} {last}."),
        ("a:document", "Hier ist die Rechnung als PDF."),
        ("c", "Bestens, danke!", "Oh, da steht noch die alte Adresse drauf …"),
        ("a", "Gern geschehen!", "Ich schicke Ihnen gleich eine korrigierte an {email}."),
    )),
    Scenario("envío", "Envío", "es", (
        ("c", "¡Hola! ¿Dónde está mi pedido {order}? Tenía que llegar el {weekday}.",
              "Buenas, el seguimiento de {order} no se mueve desde el {weekday} 😕"),
        ("a", "¡Hola, {first}! Déjame mirarlo un momento.", "Hola {first}, ahora mismo lo compruebo."),
        ("a", "Está en el centro de {city} y saldrá a reparto el {next_day} por la mañana."),
        ("c", "¿Y no podría ser antes? El {next_day} me voy al Pirineo", "Vale. ¿Puede dejarlo en la portería?"),
        ("a:rich_link", "He avisado al transportista. Aquí puedes seguirlo en directo."),
        ("c", "¡Genial, muchas gracias!", "Perfecto, mil gracias, {agent}."),
        ("a", "¡A ti! Que disfrutes de la montaña."),
    )),
    Scenario("devolución", "Devolución", "es", (
        ("c", "Quiero devolver: {product}. No es mi talla, necesito una {size}."),
        ("a", "Sin problema. ¿Prefieres cambio o reembolso?"),
        ("c", "Cambio, por favor.", "Mejor el reembolso."),
        ("a:label", "Aquí tienes la etiqueta, el envío corre de nuestra cuenta."),
        ("c", "¿Cuánto tarda?", "¿Tengo que llevarlo a Correos?"),
        ("a", "Unos cinco días laborables desde que lo recibimos.", "Sí, a cualquier oficina, sin imprimir nada."),
        ("c", "Estupendo, ¡gracias!"),
    )),
)  # fmt: skip

FOLLOW_UPS = {
    "en_US": (
        Scenario("second question", "Delivery", "en_US", (
            ("c", "Hi again, it's me from the other day. The parcel came but the {product} is missing from the box.",
                  "Quick follow-up: you said {weekday}, now it's {next_day} and still nothing 🙁",
                  "One more thing about {order}: can I still change the address?"),
            ("a", "Welcome back, {first}. I've read the conversation so far, no need to repeat anything.",
                  "Hi {first}, good to hear from you again. I have your earlier messages here."),
            ("a", "I've put it right with the warehouse; you'll have it by {next_day}.",
                  "That's taken care of now. I'm sorry for the back and forth."),
            ("c", "Appreciated, thanks!", "ok 👍", "Thank you. 5 stars for patience 😄"),
        )),
        Scenario("feedback", "Returns", "en_US", (
            ("c", "Just wanted to say: the spare part arrived & fits perfectly!",
                  "Parcel is here, everything's fine now. Thank you!"),
            ("a", "You just made my day, {first}. Have fun out there!", "So glad to hear it! 🏕️"),
            ("c", "will do!", "🙌"),
        )),
    ),
}  # fmt: skip

VOICE = (
    Scenario("delivery call", "Delivery", "en_US", (
        ("a", "Northpine Outfitters, this is {agent}, how can I help you?"),
        ("c", "Yeah hi, um, I'm calling about an order, it's number {order}.",
              "Hi. I'm, uh, I'm still waiting for a parcel and I was wondering if you could check on it."),
        ("a", "Of course. Could I have your name, please?"),
        ("c", "It's {first}, {first} {last}.", "Sure, {last}, first name {first}."),
        ("a", "Thanks {first}. I see it left our warehouse on {weekday} and it's out for delivery."),
        ("c", "Oh okay. Because the website said something else, it said delayed.",
              "Out for delivery. So like today?"),
        ("a", "The website lags behind a little. If it isn't there by {next_day}, call us and we'll send a new one."),
        ("c", "Alright, that's good to know. Thanks a lot."),
        ("a", "My pleasure. Have a nice day.", "You're welcome. Bye now."),
    )),
    Scenario("repair call", "Warranty", "en_US", (
        ("a", "Thanks for calling Northpine, you're speaking with {agent}."),
        ("c", "Hello, I have a, it's a backpack, the Moraine forty-five, and the hip belt buckle cracked.",
              "Hi there, my hiking boots, the sole is coming off on the left one."),
        ("a", "I'm sorry to hear that. Do you remember roughly when you bought it?"),
        ("c", "Uh, must have been two years ago, maybe a little more. I have the receipt somewhere."),
        ("a", "You don't need it, I found the order from {city}. We can fix that for free."),
        ("c", "For free? Oh, that's, wow, okay."),
        ("a", "Would you like a spare part in the mail, or shall we do the repair for you?"),
        ("c", "If you could do it. I'm not so good with tools, to be honest."),
        ("a", "Then I'll email you a shipping label to {email}."),
        ("c", "Perfect. And how long does it take, about?"),
        ("a", "About twelve days, door to door."),
        ("c", "Great. Thank you so much, bye bye."),
    )),
    Scenario("billing call", "Invoice", "en_US", (
        ("a", "Northpine Outfitters, {agent} speaking."),
        ("c", "Hi, I see a charge of {amount} dollars on my card and I don't, I don't recognize it."),
        ("a", "I understand, let's find out. Do you have the date of the charge?"),
        ("c", "It was on {weekday}."),
        ("a", "That's order {order}. Could somebody in your household have ordered a {product}?"),
        ("c", "Hold on. Honey? Did you order a, yeah? Oh. Okay. Yeah, sorry, it was my wife's birthday surprise.",
              "Oh no. I think that was me, late at night. Never mind."),
        ("a", "No worries at all, that happens more often than you think."),
        ("c", "Sorry to bother you. Have a good one."),
        ("a", "You too, and happy hiking."),
    )),
    Scenario("advice call", "Sizing", "en_US", (
        ("a", "Hello, {agent} from Northpine, what can I do for you today?"),
        ("c", "I'm going to Patagonia in January and I'm not sure which sleeping bag to take.",
              "So I need a tent for two people and a dog. A big dog."),
        ("a", "Lovely. What temperatures do you expect at night?", "How nice! How big are we talking?"),
        ("c", "They say around thirty, thirty-five Fahrenheit, but windy.", "About eighty pounds, likes to stretch."),
        ("a", "Then I'd go for the warmer one, and a liner. You can always open the zipper.",
              "In that case take the three person model. The dog will thank you."),
        ("c", "Right. And can I bring it back if it's too bulky?"),
        ("a", "Within sixty days, yes, even if you slept in it in the garden."),
        ("c", "Okay, I'll order online then. Thanks for the help."),
    )),
)  # fmt: skip

CALLBACKS = (
    Scenario("callback", "Warranty", "en_US", (
        ("a", "Hello {first}, this is {agent} from Northpine, you asked us to call you back."),
        ("c", "Oh hi, yes, thanks for calling. It's about the repair, number {case}."),
        ("a", "The part came in on {weekday}, so it will be ready on {next_day}."),
        ("c", "That's sooner than I thought. Great."),
        ("a", "We'll text you when it ships. Have a good day."),
        ("c", "Thanks, you too."),
    )),
)  # fmt: skip

BOT_ANSWERS = {
    "en_US": (
        ("b", "You can follow every step of {order} here: {shop}/track/{order}",
              "Our stores are open Monday to Saturday from 10 to 7, Sunday from 11 to 5.",
              "Returns are free for 60 days. The label is in your account under \"Orders\" > \"Return\"."),
        ("c", "ok thx", "that's all I needed, thanks", "👍"),
        ("b", "Happy to help. Have a great day outdoors! 🌲"),
    ),
    "de": (
        ("b", "Hier siehst du den Stand deiner Bestellung: {shop}/track/{order}",
              "Rückgaben sind 60 Tage lang kostenlos. Das Etikett findest du in deinem Konto unter „Bestellungen“."),
        ("c", "Danke!", "ok, super"),
        ("b", "Gern! Schöne Zeit draußen 🌲"),
    ),
    "es": (
        ("b", "Puedes seguir tu pedido aquí: {shop}/track/{order}"),
        ("c", "¡Gracias!", "vale, perfecto"),
        ("b", "¡Un placer! 🌲"),
    ),
}  # fmt: skip

WHISPERS = ("Offer the 15% voucher, she's been with us since 2019.", "Check the batch number, we had three of these.",
            "You can waive the shipping fee here.", "Remember to ask for the photo first 🙂")  # fmt: skip
FLAGS = ("Customer asks for a supervisor", "Not sure about the warranty terms, please have a look", "Needs approval")
