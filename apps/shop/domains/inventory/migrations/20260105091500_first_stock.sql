-- The hand grinder is sold out on purpose: the first order that fails should be easy to find.
INSERT INTO stock (sku, available) VALUES
    ('coffee-antigua', 60),
    ('coffee-decaf', 24),
    ('coffee-espresso', 40),
    ('coffee-sidamo', 75),
    ('filter-paper-02', 500),
    ('grinder-hand', 0),
    ('honey-acacia', 36),
    ('kettle-gooseneck', 12),
    ('mug-stoneware', 48),
    ('pot-cast-iron', 8),
    ('scale-barista', 15),
    ('server-glass', 20),
    ('strainer-steel', 90),
    ('tea-assam', 120),
    ('tea-darjeeling', 3),
    ('tea-earl-grey', 150),
    ('tea-genmaicha', 80),
    ('tea-oolong', 45),
    ('tea-rooibos', 200),
    ('tea-sencha', 95);

-- What the warehouse counted of the range when the shop opened: of larger packs it keeps fewer.
INSERT INTO stock (sku, available)
WITH teas (sku) AS (VALUES
    ('anxi-tieguanyin'), ('assam-broken'), ('bai-mudan'), ('bancha'), ('ceylon-dimbula'),
    ('ceylon-uva'), ('chai-bombay'), ('chamomile'), ('chun-mee'), ('darjeeling-autumn'),
    ('darjeeling-second'), ('dragon-well'), ('earl-grey-blue'), ('english-breakfast'),
    ('fennel-anise'), ('fruit-hibiscus'), ('ginger-lemon'), ('gunpowder'), ('gyokuro'),
    ('hojicha'), ('jasmine-pearls'), ('jasmine-silver'), ('kabusecha'), ('keemun'), ('kukicha'),
    ('lapsang'), ('lemon-verbena'), ('matcha-kitchen'), ('matcha-ceremony'), ('milk-oolong'),
    ('nepal-himalaya'), ('nilgiri-frost'), ('oriental-beauty'), ('ostfriesen'), ('peppermint'),
    ('phoenix-dancong'), ('puerh-ripe'), ('puerh-raw'), ('rooibos-vanilla'), ('rose-congou'),
    ('sage'), ('silver-needle'), ('wuyi-rock'), ('yerba-mate'), ('yunnan-gold')
),
coffees (sku) AS (VALUES
    ('brazil-cerrado'), ('burundi-kayanza'), ('colombia-huila'), ('costa-rica-tarrazu'),
    ('ethiopia-guji'), ('ethiopia-yirga'), ('filter-house'), ('honduras-marcala'),
    ('india-malabar'), ('java-estate'), ('kenya-nyeri'), ('mexico-chiapas'),
    ('nicaragua-jinotega'), ('panama-boquete'), ('peru-cajamarca'), ('rwanda-nyamagabe'),
    ('sumatra-mandheling'), ('winter-blend')
),
wares (sku) AS (VALUES
    ('bowl-matcha'), ('caddy'), ('carafe'), ('cup-espresso'), ('cup-gaiwan'), ('cup-latte'),
    ('cup-tumbler'), ('jug-milk'), ('mug-large'), ('plate-cake'), ('pot-family'), ('pot-small'),
    ('sugar-bowl')
),
foods (sku) AS (VALUES
    ('cantuccini'), ('chocolate-70'), ('chocolate-milk'), ('dates'), ('ginger-candied'),
    ('honey-chestnut'), ('honey-heather'), ('honey-lime'), ('jam-apricot'), ('jam-quince'),
    ('marmalade'), ('oat-biscuits'), ('shortbread'), ('sugar-candy'), ('sugar-muscovado'),
    ('syrup-elderflower')
),
tools (sku) AS (VALUES
    ('brush-grinder'), ('dripper'), ('filter-bags'), ('filter-paper'), ('french-press'),
    ('infuser-basket'), ('moka-pot'), ('whisk-bamboo')
)
SELECT 'tea-' || sku || '-' || pack, 6000 / pack + length(sku) * 7 % 40
FROM teas CROSS JOIN (SELECT 50 AS pack UNION ALL SELECT 100 UNION ALL SELECT 250) AS packs
UNION ALL
SELECT 'coffee-' || sku || '-' || pack, 20000 / pack + length(sku) * 7 % 30
FROM coffees CROSS JOIN (SELECT 250 AS pack UNION ALL SELECT 500 UNION ALL SELECT 1000) AS packs
UNION ALL
SELECT sku || '-' || glaze, 1 + length(sku || glaze) * 7 % 30
FROM wares CROSS JOIN (
    SELECT 'ash' AS glaze UNION ALL SELECT 'celadon' UNION ALL SELECT 'indigo'
    UNION ALL SELECT 'snow'
) AS glazes
UNION ALL
SELECT sku || '-' || pack, 40 + length(sku) * 7 % 50
FROM foods CROSS JOIN (SELECT 'small' AS pack UNION ALL SELECT 'large') AS packs
UNION ALL
SELECT sku || '-' || pack, 10 + length(sku) * 7 % 60
FROM tools CROSS JOIN (
    SELECT 'small' AS pack UNION ALL SELECT 'medium' UNION ALL SELECT 'large'
) AS sizes;
