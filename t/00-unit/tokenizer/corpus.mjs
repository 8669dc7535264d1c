// SPDX-License-Identifier: Apache-2.0
//
// Texts to tokenize: written ones in many scripts, and made ones by seed. Bytes where the text is not UTF-8.
import { readFileSync } from 'node:fs';

export const LANGUAGES = {
  English: "The parties agree that neither of them'll disclose what it's learned, unless they've consented; I'd say that's WE'RE-DON'T clear. It'S 'sure' they'Re, isn'T it?",
  German: 'Die Rechtsschutzversicherungsgesellschaften prüfen größere Verträge über „künstliche Intelligenz“, heißt es.',
  French: "L’accord prévoit qu'aujourd'hui l'hébergeur n'a pas été payé : 1 234,56 € restent dûs à l'œuvre.",
  Spanish: '¿Quién pagará la factura del próximo año? ¡Nadie lo sabe todavía, señor Núñez!',
  Portuguese: 'A concessão não será renovada até que as obrigações sejam cumpridas em São Paulo.',
  Polish: 'Zażółć gęślą jaźń, a potem przejrzyj umowę o świadczenie usług obliczeniowych.',
  Czech: 'Příliš žluťoučký kůň úpěl ďábelské ódy nad smlouvou o výpočetním výkonu.',
  Hungarian: 'Árvíztűrő tükörfúrógép, legelőször az elszámolást egyeztessük.',
  Turkish: 'İstanbul’da ığdır çığlığı: sözleşmenin süresi YILBAŞINDA doluyor.',
  Vietnamese: 'Thỏa thuận này quy định việc chia sẻ lợi nhuận giữa các bên trong năm tới.',
  Finnish: 'Epäjärjestelmällisyydellänsäkäänköhän sopimus purettiin kesäyönä.',
  Icelandic: 'Kæmi ný öxi hér, ykist þjófum nú bæði víl og ádrepa.',
  Greek: 'Η συμφωνία προβλέπει ότι τα κέρδη μοιράζονται. ΑΘΗΝΑ, Ὀδυσσεύς· ἄνδρα μοι ἔννεπε.',
  Russian: 'Съешь же ещё этих мягких французских булок, да выпей чаю — ДОГОВОР № 17 подписан.',
  Ukrainian: "Жебракують філософи при ґанку церкви в Гадячі, ще й шатро їхнє п'яне знаємо.",
  Bulgarian: 'Ах, чудна българска земьо, полюшвай цъфтящи жита.',
  Georgian: 'შეთანხმება ძალაშია ხელმოწერის დღიდან. ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ',
  Armenian: 'Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ։',
  Hebrew: 'כל בני האדם נולדו בני חורין ושווים בערכם, בְּרֵאשִׁית בָּרָא אֱלֹהִים.',
  Arabic: 'يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق، العقد رقم ١٢٣٤٥ في السَّنَةِ الأُولَى.',
  Persian: 'قرارداد می‌گوید که سود بین دو طرف تقسیم می‌شود؛ ۱۲۳۴۵۶ ریال.',
  Urdu: 'تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔',
  Hindi: 'सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है। १२३४५ रुपये',
  Marathi: 'करारानुसार नफा दोन्ही पक्षांमध्ये वाटला जाईल.',
  Bengali: 'সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে। ৳১২৩',
  Tamil: 'மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.',
  Telugu: 'ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును జన్మతః స్వతంత్రులు.',
  Kannada: 'ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಹುಟ್ಟಿದ್ದಾರೆ.',
  Malayalam: 'മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും അന്തസ്സോടും ജനിച്ചിട്ടുള്ളവരാണ്.',
  Sinhala: 'සියලු මනුෂ්‍යයෝ නිදහස්ව උපත ලබා ඇත.',
  Gujarati: 'પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો જન્મથી સ્વતંત્ર છે.',
  Punjabi: 'ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਪਣੀ ਮਹਿਮਾ ਦੇ ਪੱਖੋਂ ਜਨਮ ਤੋਂ ਹੀ ਆਜ਼ਾਦ ਹੈ।',
  Thai: 'มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ๑๒๓ บาท',
  Lao: 'ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີ ແລະ ສິດເທົ່າທຽມກັນ.',
  Khmer: 'មនុស្សទាំងអស់កើតមកមានសេរីភាព និងភាពស្មើៗគ្នា។',
  Burmese: 'လူတိုင်းသည် တူညီလွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် မွေးဖွားလာသူများဖြစ်သည်။',
  Tibetan: 'འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས།',
  Amharic: 'የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።',
  Chinese: '双方同意,未经对方书面许可,任何一方不得披露模型权重。２０２６年１１月２３日，共计１２３４５元。',
  'Chinese (traditional)': '雙方同意分享利潤:雲端平台取百分之二十,模型所有者取其餘部分。',
  Japanese: 'すべての人間は、生まれながらにして自由であり、ｶﾀｶﾅとカタカナー、ヽ々〆を含む。',
  Korean: '모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 한글',
  Mongolian: 'Хүн бүр төрж мэндлэхэд эрх чөлөөтэй байдаг. ᠬᠦᠮᠦᠨ ᠪᠦᠷ',
  Cherokee: 'ᏂᎦᏓ ᎠᏂᏴᏫ ᏂᎨᎫᏓᎸᎾ ᎠᎴ ᎤᏂᏠᏱ ꮒꭶꮣ',
  Yoruba: 'Gbogbo ènìyàn ni a bí ní òmìnira; iyì àti ẹ̀tọ́ kọ̀ọ̀kan sì dọ́gba.',
  Math: '∀ε>0 ∃δ: |x−a|<δ ⇒ |ƒ(x)−ƒ(a)|<ε; 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛𝟜 ½ ⅷ ² ㊿ ⑩ ǅ ʰ ª º ℵ ℝ',
  Emoji: '👩‍👩‍👧‍👦 👍🏽👍🏿 🇪🇺🇯🇵 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️‍🔥 ☕️ 1️⃣2️⃣ 🧑🏻‍💻fin😀😀😀😀 😂!!',
  Blanks: '  two\t\ttabs\u00a0nbsp\u00a0\u00a0 x\u2003em\u3000\u3000全角\ufeffbom\u200bzero\u2028line\u2029para\u0085nel\u180evow\u000bvt\f ff \r\r\n\n \n  \n end   ',
  Marks: 'e\u0301 E\u0301A \u0301\u0301 !\u0301x \u0301ABC ABC\u0301DEF A\u0301B\u0301C d \u0301\'s a\u20dd\u0308 ABCは日本A日本 日本AB日本C \n\u0301',
  Special: '<|endoftext|> <|fim_prefix|>x<|fim_middle|> <|endofprompt|><|im_start|>user\n<|im_end|>',
};

const CODE = [
  'fn main() {\r\n\tlet x: Vec<&\'static str> = vec!["a", "b"];\r\n\r\n    println!("{:?}", x); // ok\r\n}\r\n',
  'SELECT id,SUM(amount)::numeric(38,15) FROM ledger_entry WHERE at>=\'2026-11-01\' GROUP BY 1;\n\n\n',
  '{"id":"chatcmpl-9xYz","choices":[{"delta":{"content":"\\u00e9\\n"},"index":0}],"usage":null}\n',
  'for i in range(10):\n    if i%2==0:\n        print(f"{i:>10}", end="\\n\\n")\n\n\n\n#######\n',
  'https://example.com/a/b//c/?q=1&r=%20#frag http:///\n/ /\r\n// x\n///\n !/\n/\n!!\r\n/\r\nA/B/c/1/2\n/',
  'const HTTPServer_v2Beta = await XMLHttpRequest2.fromJSON(parseInt("0xDEADBEEF",16)*1e-9)||iPhoneOS;\n',
  '| a | b |\n|---|---|\n| 1234567890 | 12,345.678 |\n\n---\n***\n=====\n',
  'aGVsbG8gd29ybGQhIHRoaXMgaXMgYmFzZTY0IGVuY29kZWQgdGV4dA==/+9j/4AAQSkZJRgABAQAAAQABAAD\n',
];

export function generator(seed) { // small, and the same everywhere
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(((state >>> 8) / 2 ** 24) * n);
  };
}

// All strings up to a length over one character for each thing that the patterns distinguish.
function* exhaustive() {
  const letters = ['a', 'A', '日', '\u0301', '7', '\n', ' ', '\t', "'", 's', 'r', 'E', '/', '!'];
  let strings = [''];
  for (let length = 1; length <= 4; length++) {
    strings = strings.flatMap((s) => letters.map((c) => s + c));
    yield* strings;
  }
}

function* tangles(seed, count) {
  const parts = [
    'a', 'b', 'the', 'Z', 'QR', 'é', 'Ñ', 'ǅ', 'ʰ', 'ª', '日', '語', 'ก', 'ิ', 'ה', 'ְ', 'क', '्', 'ा', '\u0301', '\u20dd', '7', '42', '٣', '½', 'Ⅷ',
    '\n', '\r', '\r\n', ' ', '  ', '\t', '\u00a0', '\u3000', '\ufeff', '\u2028', '\u0085', '\u200d', "'", '’', "'s", "'S", "'re", "'Ll", "'VE", "'r", "'L",
    "'d", "'m", "'t", "'ſ", 's', 'S', 'R', 'l', 'L', 'e', 'E', '/', '//', '!', '...', '<|', '😀', '👍🏽', '\0', '\x7f', '\u{10ffff}', '\u{1d7d9}', '𐐀', '𐐨',
  ];
  const next = generator(seed);
  for (let i = 0; i < count; i++) {
    let text = '';
    for (let n = 1 + next(24); n > 0; n--) text += parts[next(parts.length)];
    yield text;
  }
}

// Every character of planes 0 and 1 and each 16th beyond, where a class decides: in a word, after a blank, alone.
function* everyCharacter() {
  for (let block = 0; block < 0x30000; block += 16) {
    let text = '';
    for (let c = block; c < block + 16; c += block < 0x20000 ? 1 : 16) {
      if (c >= 0xd800 && c < 0xe000) continue;
      const s = String.fromCodePoint(c);
      text += `x${s}Y ${s}1\n${s}'s${s}`;
    }
    yield text;
  }
}

function* unicode(seed, count) {
  const next = generator(seed);
  const ranges = [[0x20, 0x7f], [0x80, 0x24f], [0x250, 0x5ff], [0x600, 0xfff], [0x1000, 0x1fff], [0x2000, 0x2fff], [0x3000, 0x9fff],
    [0xa000, 0xd7ff], [0xe000, 0xffff], [0x10000, 0x1ffff], [0x20000, 0x10ffff]];
  for (let i = 0; i < count; i++) {
    let text = '';
    for (let n = 1 + next(40); n > 0; n--) {
      const [low, high] = ranges[next(ranges.length)];
      for (let run = 1 + next(4); run > 0; run--) text += String.fromCodePoint(low + next(high - low + 1));
    }
    yield text;
  }
}

function* brokenBytes(seed, count) {
  const next = generator(seed);
  const heads = [0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff];
  for (let i = 0; i < count; i++) {
    const bytes = Buffer.from(Object.values(LANGUAGES)[next(Object.keys(LANGUAGES).length)]).subarray(0, 1 + next(60));
    for (let n = next(6); n > 0; n--) bytes[next(bytes.length)] = next(2) ? heads[next(heads.length)] : next(256);
    yield bytes;
  }
}

// Words of a language drawn at random: prose of any length.
export function prose(seed, size) {
  const next = generator(seed);
  const texts = [...Object.values(LANGUAGES), ...CODE];
  let text = '';
  while (text.length < size) {
    const words = texts[next(texts.length)].split(/(?<= )/);
    for (let n = 3 + next(30); n > 0; n--) text += words[next(words.length)];
    text += ['\n', '\n\n', ' ', '  ', '\r\n', '\t'][next(6)];
  }
  return text;
}

function longPieces() {
  return ['a'.repeat(700), ' '.repeat(900), `${' '.repeat(300)}x`, '\n'.repeat(500), '-'.repeat(700), 'ab'.repeat(300), '日本語'.repeat(90),
    'ACGT'.repeat(150), '='.repeat(129), '😀'.repeat(60), 'Aa'.repeat(200), '\u0301'.repeat(200), '1'.repeat(500), `${'!'.repeat(300)}\n\n//`];
}

// name -> texts (strings or bytes)
export function corpus(root) {
  const files = ['src/neutral/tokenizer.c', 'src/neutral/tokenizer.h', 'tools/vocabulary/generate.mjs', 't/00-unit/tokenizer/corpus.mjs', 'LICENSE'];
  return {
    'empty and single bytes': ['', ...Array.from({ length: 128 }, (_, i) => String.fromCharCode(i))],
    languages: Object.values(LANGUAGES),
    code: [...CODE, ...files.map((f) => readFileSync(`${root}/${f}`, 'utf8'))],
    prose: [1, 2, 3, 4].map((seed) => prose(seed, 50000)),
    'long pieces': longPieces(),
    'every short string': [...exhaustive()],
    'tangles by seed': [...tangles(7, 8000)],
    'every character': [...everyCharacter()],
    'unicode by seed': [...unicode(11, 1500)],
    'broken UTF-8 by seed': [...brokenBytes(13, 4000)],
  };
}
