import Random

/// English words for RULER's keys and lists, chosen for kvlab: its authors' lists are another package's and not copied here.
enum EnglishWords {
    /// A random one of some words.
    static func pick(_ words: [String], _ generator: inout SeededGenerator) -> String {
        words[Int.random(in: words.indices, using: &generator)]
    }

    /// The most different words that ``sample(_:_:)`` draws.
    static var most: Int { nouns.count * (nouns.count - 1) }

    /// `count` different words, at most ``most``; longer lists than ``all`` are of compounds of two nouns, such as "acornbridge".
    static func sample(_ count: Int, _ generator: inout SeededGenerator) -> [String] {
        if count <= all.count { return generator.sample(all, count) }
        return generator.sample(0..<most, count).map { index in
            let (first, second) = (index / (nouns.count - 1), index % (nouns.count - 1))
            return nouns[first] + nouns[second < first ? second : second + 1]
        }
    }

    /// Adjectives, nouns and verbs, each once.
    static let all = adjectives + nouns + verbs

    static let adjectives = words(
        """
        able absent active agile airy alert ample ancient angry apt arid aware awkward bald basic bitter bland blank bleak \
        blind blunt bold bony brave brief bright brisk broad broken bumpy busy calm careful cheap chief chilly civil clean \
        clear clever close cloudy clumsy coarse cold common compact cool crisp crooked cruel curious curly daily damp dark \
        dear deep dense dim dizzy double drab dry dull dusty eager early easy empty equal exact faint fair faithful fancy \
        fast fatal fearless fierce final fine firm flat floral fluffy fond formal frail frank free fresh frosty frozen full \
        funny fuzzy gentle giant glad gloomy glossy golden grand grateful grave greedy grim gritty gross handy happy hardy \
        harsh hasty heavy helpful hidden hollow honest hot huge humble hungry icy ideal idle jolly joyful keen kind large \
        late lazy lean level light likely limp lively local lonely long loose loud loyal lucky mad magic main major mellow \
        merry mild misty modest moist muddy narrow nasty native neat nervous nimble noble noisy odd old open orderly outer \
        oval pale patient perfect plain playful pleasant plump polite poor proper proud public pure quaint quick quiet rapid \
        rare raw ready real regal rich rigid ripe rocky rosy rough round royal rude rural rusty sad safe salty sandy secret \
        senior shaggy shallow sharp shiny short shy silent silky silly simple single sleepy slim slow small smart smooth \
        smug snowy soft solid sore sour spare spicy square stale steady steep stern sticky stiff still stormy strange strict \
        strong sturdy subtle sudden sunny sweet swift tall tame tart tasty tender tense thick thin thirsty tidy tight timid \
        tiny tired tough tricky true twin ugly uneven upper urban useful usual vague vain vast vital vivid warm wary weak \
        wealthy weary weird wet whole wicked wide wild windy wise witty wooden worthy yearly young zany
        """)

    static let nouns = words(
        """
        acorn alley amber anchor ankle anvil apple apron arch armor arrow ash atlas attic autumn avenue axle badge bagel \
        bakery balcony ball bamboo banana banjo bank banner barber bark barn barrel basil basin basket beach beacon bead \
        beak beam bean bear beard beaver bed bee beetle bell belt bench berry bicycle bird biscuit blanket blossom board \
        boat bone bonnet book boot border bottle boulder bowl box bracelet branch brass bread breeze brick bridge broom \
        brush bucket buckle bugle bundle burrow bus bush butter button cabin cabinet cable cactus cake camel camera camp \
        canal candle cannon canoe canvas canyon cap cape captain caravan carpet carrot cart castle cat cave cedar ceiling \
        cellar chain chair chalk chapel chart cheese cherry chess chest chimney church cinema circle clay cliff cloak clock \
        cloth cloud clover coach coal coast coat cobbler coffee coin collar comb comet compass copper coral cork corn corner \
        cottage cotton couch cousin cow cradle crane crater crayon creek cricket crow crown crystal cup curtain cushion \
        daisy dancer dawn deer desert desk dew diamond dish ditch doctor dog doll dolphin donkey door dove dragon drawer \
        dress drum duck dune eagle easel echo elbow elephant elm ember engine envelope fabric falcon farm farmer feather \
        fence fern ferry field fiddle fig finch finger fire fish flag flame flask flea fleet flood floor flour flower flute \
        foam fog forest fork fort fossil fountain fox frame frog fruit furnace galaxy garage garden garlic gate geese \
        giraffe glacier glass globe glove goat gold goose grain grape grass gravel grove guitar gull hail hammer harbor hare \
        harp harvest hat hawk hay hazel hedge helmet herb heron hill hinge honey hood hook horn horse hospital hotel house \
        hut ice inn ink iron island ivory ivy jacket jam jar jewel judge juice jungle kennel kettle key king kitchen kite \
        kitten knee knife knot ladder lake lamb lamp lane lantern lark lawn leaf leather ledge lemon lens letter library \
        lily lime linen lion lizard lobster lock log loom lute magnet maple marble market marsh mask mast meadow medal melon \
        mill minnow mint mirror mist mitten mole monkey moon moose moss moth motor mountain mouse museum mushroom nail \
        napkin needle nest net night nurse nut oak oar oasis ocean olive onion orange orchard orchid organ otter oven owl ox \
        oyster paddle page paint palace palm pan panda paper parade park parrot path peach peacock pear pebble pen pencil \
        penguin pepper piano pickle pier pig pigeon pillow pilot pine pipe pirate plank planet plate plow plum pocket \
        pond pony poppy porch port potato prairie prince puddle pumpkin puppet quail quarry queen quill quilt rabbit radio \
        raft rail rain raven reef reindeer ribbon rice ridge ring river road robin rock roof room root rope rose ruby rug \
        saddle sail sailor salad salmon salt sand sandal saw scarf school scissors sea seal seed shadow shark sheep shell \
        shelter shepherd ship shirt shoe shore shovel sister skate skirt sky sled sleeve slope snail snake snow soap sock \
        sofa song soup spade sparrow spear spider spoon spring spruce squirrel stable stag stair star statue steam steel \
        stone stool storm stove straw stream street sugar summer sun swallow swamp swan sword table tailor tea teacher \
        temple tent theater thimble thorn thread throne thumb thunder ticket tiger tile timber toad tomato tooth torch tower \
        town toy tractor trail train tray tree trumpet trunk tulip tunnel turkey turnip turtle twig umbrella uncle valley \
        vase veil vessel village vine violet violin wagon waist wall walnut walrus wand watch water wave wax weasel weaver \
        well whale wheat wheel whistle widow willow window wing winter wire wolf wood wool worm wreath wrist yacht yard yarn \
        zebra zipper
        """)

    private static let verbs = words(
        """
        accept admire admit adopt advise agree allow announce appear argue arrange arrive ask attend avoid bake balance \
        bathe beg begin behave believe belong bend blend bloom boil borrow bounce breathe bring build burn buy calculate \
        carry carve catch celebrate choose chop claim clap climb collect combine compare complain confess connect consider \
        contain continue cook copy cough count cover crawl cross cry dance dare decide decorate defend deliver depend \
        describe deserve dig dine discover discuss dive divide dream drift drink drive drop earn eat elect encourage enjoy \
        enter erase escape examine excuse exist expect explain explore fail fetch fight fill find float fold follow forget \
        forgive gather gaze give glow grab grow guard guess guide hang happen hear help hesitate hide hope hop hug hum hunt \
        hurry imagine improve include inform invent invite join juggle jump kneel knit knock know laugh launch lead learn \
        leave lend lick lift listen live load look lose love manage march marry measure meet melt mend mention mix move \
        multiply need nod notice obey observe obtain offer order owe own pack paste pay perform plan plant play polish pour \
        pray preach prefer prepare present press pretend prevent print promise protect prove provide pull punish push \
        question race reach read receive recognize record reduce refuse regret relax remain remember remind remove repair \
        repeat replace reply rescue rest return ride rinse risk roar rob roll row rub ruin run sample satisfy save say \
        scatter scold search see sell send separate serve settle sew shake share shave shine shiver shop shout shrug sigh \
        sign sing sit ski sleep slide slip smell smile sneeze sniff solve speak spell spend spill spin split stand stare \
        start stay steal step stir stitch stop stretch strike study suffer suggest supply support surprise surround suspect \
        swear sweep swim swing take talk teach tear tell tempt thank think throw tie touch trace trade travel treat tremble \
        trip trust try turn twist type understand undress unite unlock unpack vanish visit wait wake walk wander want warn \
        wash waste wear weave weep weigh welcome whisper win wink wish wonder work worry wrap wrestle write yawn yell
        """)

    private static func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }
}
