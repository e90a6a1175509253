"""Names of the months in 60 languages, whole and cut short, as pages write them in a date.

A name that means two months in two languages (`listopad`, October in Zagreb and November in Prague) is left out, but
for the few that nearly always mean one; so is a name cut short that several months could have.
"""

import unicodedata
from functools import cache

# the twelve months by language, without accents; several names of a month stand between `/`, `-` is for none
_MONTHS = """
en january february march april may june july august september/sept october november december
de januar/janner februar marz/maerz april mai juni juli august september oktober november dezember
fr janvier fevrier/fevr mars avril/avr mai juin juillet/juil aout septembre octobre novembre decembre
es enero febrero marzo abril mayo junio julio agosto septiembre/setiembre octubre noviembre diciembre
it gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
pt janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro
nl januari februari maart/mrt april mei juni juli augustus september oktober november december
pl stycznia/styczen lutego/luty marca/marzec kwietnia/kwiecien maja/maj czerwca/czerwiec lipca/lipiec
    sierpnia/sierpien wrzesnia/wrzesien pazdziernika/pazdziernik listopada/listopad grudnia/grudzien
ru января/январь февраля/февраль марта/март апреля/апрель мая/маи июня/июнь июля/июль августа/август
    сентября/сентябрь октября/октябрь ноября/ноябрь декабря/декабрь
uk сiчня/січня/січень лютого/лютии березня/березень квітня/квітень травня/травень червня/червень липня/липень
    серпня/серпень вересня/вересень жовтня/жовтень листопада/листопад грудня/грудень
be студзеня/студзень лютага/люты сакавіка/сакавік красавіка/красавік мая/травень чэрвеня/чэрвень ліпеня/ліпень
    жніуня/жнівень верасня/верасень кастрычніка/кастрычнік лістапада/лістапад снежня/снежань
bg януари февруари март април май юни юли август септември октомври ноември декември
mk јануари февруари март април мај јуни јули август септември октомври ноември декември
sr јануара/јануар фебруара/фебруар марта/март априла/април маја/мај јуна/јун јула/јул августа/август
    септембра/септембар октобра/октобар новембра/новембар децембра/децембар
el ιανουαριου/ιανουαριος φεβρουαριου/φεβρουαριος μαρτιου/μαρτιος απριλιου/απριλιος μαιου/μαιος ιουνιου/ιουνιος
    ιουλιου/ιουλιος αυγουστου/αυγουστος σεπτεμβριου/σεπτεμβριος οκτωβριου/οκτωβριος νοεμβριου/νοεμβριος
    δεκεμβριου/δεκεμβριος
cs ledna/leden unora/unor brezna/brezen dubna/duben kvetna/kveten cervna/cerven cervence/cervenec srpna/srpen
    zari rijna/rijen listopadu prosince/prosinec
sk januara/januar februara/februar marca/marec aprila/april maja/maj juna/jun jula/jul augusta/august
    septembra/september oktobra/oktober novembra/november decembra/december
sl januarja/januar februarja/februar marca/marec aprila/april maja/maj junija/junij julija/julij avgusta/avgust
    septembra/september oktobra/oktober novembra/november decembra/december
sv januari februari mars april maj juni juli augusti september oktober november december
da januar februar marts april maj juni juli august september oktober november december
no januar februar mars april mai juni juli august september oktober november desember
is januar februar mars april mai juni juli agust september oktober november desember
fi tammikuuta/tammikuu helmikuuta/helmikuu maaliskuuta/maaliskuu huhtikuuta/huhtikuu toukokuuta/toukokuu
    kesakuuta/kesakuu heinakuuta/heinakuu elokuuta/elokuu syyskuuta/syyskuu lokakuuta/lokakuu
    marraskuuta/marraskuu joulukuuta/joulukuu
et jaanuar veebruar marts aprill mai juuni juuli august september oktoober november detsember
lv janvaris/janvari februaris/februari marts/marta aprilis/aprili maijs/maija junijs/junija julijs/julija
    augusts/augusta septembris/septembri oktobris/oktobri novembris/novembri decembris/decembri
lt sausio/sausis vasario/vasaris kovo/kovas balandzio/balandis geguzes/geguze birzelio/birzelis liepos/liepa
    rugpjucio/rugpjutis rugsejo/rugsejis spalio/spalis lapkricio/lapkritis gruodzio/gruodis
tr ocak subat mart nisan mayıs/mayis haziran temmuz agustos eylul ekim kasım/kasim aralık/aralik
az yanvar fevral mart aprel may iyun iyul avqust sentyabr oktyabr noyabr dekabr
kk қантар/кантар акпан/ақпан наурыз сәуір мамыр маусым шілде тамыз қыркүиек қазан қараша желтоқсан
ro ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie
hu januar februar marcius aprilis majus junius julius augusztus szeptember oktober november december
hr sijecnja/sijecanj veljace/veljaca ozujka/ozujak travnja/travanj svibnja/svibanj lipnja/lipanj srpnja/srpanj
    kolovoza/kolovoz rujna/rujan - studenoga/studenog/studeni prosinca/prosinac
bs januara februara marta aprila maja juna jula avgusta septembra oktobra novembra decembra
sq janar shkurt mars prill maj qershor korrik gusht shtator tetor nentor dhjetor
ka იანვარი/იანვარს თებერვალი მარტი აპრილი მაისი ივნისი ივლისი აგვისტო სექტემბერი ოქტომბერი ნოემბერი დეკემბერი
hy հունվարի/հունվար փետրվարի/փետրվար մարտի/մարտ ապրիլի/ապրիլ մայիսի/մայիս հունիսի/հունիս հուլիսի/հուլիս
    օգոստոսի/օգոստոս սեպտեմբերի/սեպտեմբեր հոկտեմբերի/հոկտեմբեր նոյեմբերի/նոյեմբեր դեկտեմբերի/դեկտեմբեր
id januari februari maret april mei juni juli agustus september oktober november desember
ms januari februari mac april mei jun julai ogos september oktober november disember
tl enero pebrero marso abril mayo hunyo hulyo agosto setyembre oktubre nobyembre disyembre
sw januari februari machi aprili mei juni julai agosti septemba oktoba novemba desemba
ca gener febrer marc abril maig juny juliol agost setembre octubre novembre desembre
gl xaneiro febreiro marzo abril maio xuno/xunho xullo agosto setembro outubro novembro decembro
eu urtarrila/urtarrilaren otsaila/otsailaren martxoa/martxoaren apirila/apirilaren maiatza/maiatzaren
    ekaina/ekainaren uztaila/uztailaren abuztua/abuztuaren iraila/irailaren urria/urriaren azaroa/azaroaren
    abendua/abenduaren
cy ionawr chwefror mawrth ebrill mai mehefin gorffennaf awst medi hydref tachwedd rhagfyr
ga eanair feabhra marta aibrean bealtaine meitheamh iuil lunasa - - - -
eo januaro februaro marto aprilo majo junio julio augusto septembro oktobro novembro decembro
af januarie februarie maart april mei junie julie augustus september oktober november desember
ar يناير/جانفي فبراير/فيفري مارس/آذار أبريل/إبريل/ابريل/أفريل/نيسان مايو/ماي/أيار يونيو/يونيه/جوان/حزيران
    يوليو/يوليه/جويلية/تموز أغسطس/اغسطس/أوت/آب سبتمبر/أيلول أكتوبر/اكتوبر نوفمبر ديسمبر
fa ژانویه فوریه مارس آوریل مه/می ژوئن ژوئیه اوت سپتامبر اکتبر نوامبر دسامبر
ur جنوری فروری مارچ اپریل مئی جون جولائی اگست ستمبر اکتوبر نومبر دسمبر
he ינואר/בינואר פברואר/בפברואר מרץ/במרץ/מרס/במרס אפריל/באפריל מאי/במאי יוני/ביוני יולי/ביולי
    אוגוסט/באוגוסט ספטמבר/בספטמבר אוקטובר/באוקטובר נובמבר/בנובמבר דצמבר/בדצמבר
hi जनवरी फरवरी/फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर/सितम्बर अक्टूबर/अक्तूबर नवंबर/नवम्बर दिसंबर/दिसम्बर
mr जानेवारी फेब्रुवारी मार्च एप्रिल मे जून जुलै ऑगस्ट सप्टेंबर ऑक्टोबर नोव्हेंबर डिसेंबर
ne जनवरी फेब्रुअरी मार्च अप्रिल मे जुन जुलाई अगस्ट सेप्टेम्बर अक्टोबर नोभेम्बर डिसेम्बर
gu જાન્યુઆરી ફેબ્રુઆરી માર્ચ એપ્રિલ મે જૂન જુલાઈ ઓગસ્ટ સપ્ટેમ્બર ઓક્ટોબર નવેમ્બર ડિસેમ્બર
bn জানুয়ারি/জানুয়ারী ফেব্রুয়ারি/ফেব্রুয়ারী মার্চ এপ্রিল মে জুন জুলাই আগস্ট/অগাস্ট সেপ্টেম্বর অক্টোবর নভেম্বর ডিসেম্বর
ta ஜனவரி பிப்ரவரி மார்ச் ஏப்ரல் மே ஜூன் ஜூலை ஆகஸ்ட் செப்டம்பர் அக்டோபர் நவம்பர் டிசம்பர்
te జనవరి ఫిబ్రవరి మార్చి ఏప్రిల్ మే జూన్ జూలై ఆగస్టు సెప్టెంబర్ అక్టోబర్ నవంబర్ డిసెంబర్
ml ജനുവരി ഫെബ്രുവരി മാർച്ച് ഏപ്രിൽ മേയ് ജൂൺ ജൂലൈ ഓഗസ്റ്റ് സെപ്റ്റംബർ ഒക്ടോബർ നവംബർ ഡിസംബർ
kn ಜನವರಿ ಫೆಬ್ರವರಿ ಮಾರ್ಚ್ ಏಪ್ರಿಲ್ ಮೇ ಜೂನ್ ಜುಲೈ ಆಗಸ್ಟ್ ಸೆಪ್ಟೆಂಬರ್ ಅಕ್ಟೋಬರ್ ನವೆಂಬರ್ ಡಿಸೆಂಬರ್
th มกราคม กุมภาพันธ์ มีนาคม เมษายน พฤษภาคม มิถุนายน กรกฎาคม สิงหาคม กันยายน ตุลาคม พฤศจิกายน ธันวาคม
"""
_ONE_MOSTLY = ("mai", "maj", "mart")  # of several months somewhere, of one nearly everywhere
_SHORT = {"jun": 6, "jul": 7, "mar": 3, "may": 5, "aug": 8, "oct": 10, "dec": 12, "jan": 1, "feb": 2, "apr": 4}


@cache
def months() -> dict[str, int]:
    """Name of a month as `bare` has it, whole or cut short where that is of one month alone, to its number."""
    of: dict[str, set[int]] = {}
    for line in _MONTHS.replace("\n    ", " ").strip().splitlines():
        for month, names in enumerate(line.split()[1:], 1):
            for name in names.split("/") if names != "-" else ():  # a name that means another month next door
                of.setdefault(bare(name), set()).add(month)
    whole = {name: found for name, found in of.items() if len(found) == 1 or name in _ONE_MOSTLY}
    short: dict[str, set[int]] = {}
    for name, found in whole.items():
        for size in (3, 4) if len(name) > 3 and name.isalpha() else ():
            short.setdefault(name[:size], set()).update(found)
    settled = {name: min(found) for name, found in short.items() if len(found) == 1}
    return settled | _SHORT | {name: min(found) for name, found in whole.items() if len(found) == 1}


def bare(text: str) -> str:
    """Lower case without accents."""
    parts = unicodedata.normalize("NFD", text.lower())
    return unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c)))
