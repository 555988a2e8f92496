INSERT INTO products (sku, name, category, description, price_cents) VALUES
    ('coffee-antigua', 'Guatemala Antigua', 'coffee', 'Whole beans, cocoa and orange, 250 g', 1190),
    ('coffee-decaf', 'Decaf Huehuetenango', 'coffee', 'Whole beans, water process, 250 g', 1250),
    ('coffee-espresso', 'House Espresso', 'coffee', 'Whole beans, dark roast, 1 kg', 2490),
    ('coffee-sidamo', 'Ethiopia Sidamo', 'coffee', 'Whole beans, bergamot and peach, 250 g', 1290),
    ('filter-paper-02', 'Paper Filters 02', 'brewing', 'Unbleached, pack of 100', 450),
    ('grinder-hand', 'Hand Grinder', 'brewing', 'Conical steel burrs, 30 g', 8900),
    ('honey-acacia', 'Acacia Honey', 'pantry', 'From one village, 500 g', 1150),
    ('kettle-gooseneck', 'Gooseneck Kettle', 'brewing', 'Stainless steel, 1 litre', 5900),
    ('mug-stoneware', 'Stoneware Mug', 'ware', 'Glazed grey, 300 ml', 1600),
    ('pot-cast-iron', 'Cast Iron Teapot', 'ware', 'With a strainer, 800 ml', 6400),
    ('scale-barista', 'Barista Scale', 'brewing', 'To 0.1 g, with a timer', 4500),
    ('server-glass', 'Glass Server', 'brewing', 'Heat proof, 600 ml', 2200),
    ('strainer-steel', 'Steel Strainer', 'brewing', 'For one cup, fine mesh', 890),
    ('tea-assam', 'Assam Second Flush', 'tea', 'Black, malty, 100 g', 790),
    ('tea-darjeeling', 'Darjeeling First Flush', 'tea', 'Black, flowery, 100 g', 1490),
    ('tea-earl-grey', 'Earl Grey', 'tea', 'Black with bergamot oil, 100 g', 850),
    ('tea-genmaicha', 'Genmaicha', 'tea', 'Green with roasted rice, 100 g', 920),
    ('tea-oolong', 'Dong Ding Oolong', 'tea', 'Half fermented, roasted, 100 g', 1690),
    ('tea-rooibos', 'Rooibos', 'tea', 'No caffeine, 250 g', 690),
    ('tea-sencha', 'Sencha', 'tea', 'Green, steamed, 100 g', 1090);

-- The range: what there is, times how it is packed. Prices are of the middle pack.
INSERT INTO products (sku, name, category, description, price_cents)
WITH teas (sku, name, taste, price_cents) AS (VALUES
    ('anxi-tieguanyin', 'Anxi Tieguanyin', 'Oolong, lightly oxidised, orchid', 1890),
    ('assam-broken', 'Assam Broken', 'Black, strong, takes milk', 690),
    ('bai-mudan', 'Bai Mudan', 'White, hay and melon', 1450),
    ('bancha', 'Bancha', 'Green, mild, little caffeine', 620),
    ('ceylon-dimbula', 'Ceylon Dimbula', 'Black, bright, lemon', 740),
    ('ceylon-uva', 'Ceylon Uva', 'Black, minty, brisk', 780),
    ('chai-bombay', 'Bombay Chai', 'Black with cardamom, ginger and clove', 760),
    ('chamomile', 'Chamomile Flowers', 'Herbal, whole heads', 590),
    ('chun-mee', 'Chun Mee', 'Green, plum, lively', 580),
    ('darjeeling-autumn', 'Darjeeling Autumnal', 'Black, woody, mellow', 1190),
    ('darjeeling-second', 'Darjeeling Second Flush', 'Black, muscatel', 1390),
    ('dragon-well', 'Dragon Well', 'Green, chestnut, pan fired', 1790),
    ('earl-grey-blue', 'Earl Grey Blue Flower', 'Black with bergamot and cornflower', 890),
    ('english-breakfast', 'English Breakfast', 'Black, full, three gardens', 650),
    ('fennel-anise', 'Fennel, Anise and Caraway', 'Herbal, after supper', 540),
    ('fruit-hibiscus', 'Hibiscus and Elderberry', 'Fruit, tart, deep red', 560),
    ('ginger-lemon', 'Ginger and Lemongrass', 'Herbal, sharp, warming', 610),
    ('gunpowder', 'Gunpowder', 'Green, rolled, smoky', 570),
    ('gyokuro', 'Gyokuro Uji', 'Green, shaded, umami', 3490),
    ('hojicha', 'Hojicha', 'Green, roasted, caramel', 780),
    ('jasmine-pearls', 'Jasmine Pearls', 'Green, scented five times', 2190),
    ('jasmine-silver', 'Jasmine Silver Tip', 'Green with jasmine', 1290),
    ('kabusecha', 'Kabusecha', 'Green, half shaded', 1690),
    ('keemun', 'Keemun Mao Feng', 'Black, cocoa and wine', 1290),
    ('kukicha', 'Kukicha', 'Green, from stems, sweet', 820),
    ('lapsang', 'Lapsang Souchong', 'Black, smoked over pine', 980),
    ('lemon-verbena', 'Lemon Verbena', 'Herbal, whole leaves', 690),
    ('matcha-kitchen', 'Matcha for the Kitchen', 'Green, stone ground', 1590),
    ('matcha-ceremony', 'Matcha for Ceremony', 'Green, first harvest', 3990),
    ('milk-oolong', 'Milk Oolong', 'Oolong, creamy', 1650),
    ('nepal-himalaya', 'Nepal Himalaya', 'Black, honey', 1150),
    ('nilgiri-frost', 'Nilgiri Frost', 'Black, winter harvest', 1090),
    ('oriental-beauty', 'Oriental Beauty', 'Oolong, peach, bitten by cicadas', 2890),
    ('ostfriesen', 'East Frisian Blend', 'Black, for rock sugar and cream', 720),
    ('peppermint', 'Peppermint', 'Herbal, cut leaf', 520),
    ('phoenix-dancong', 'Phoenix Dan Cong', 'Oolong, honey orchid', 2490),
    ('puerh-ripe', 'Ripe Pu-erh', 'Fermented, earthy', 1350),
    ('puerh-raw', 'Raw Pu-erh', 'Aged six years', 2290),
    ('rooibos-vanilla', 'Rooibos Vanilla', 'No caffeine, with vanilla', 720),
    ('rose-congou', 'Rose Congou', 'Black with rose petals', 840),
    ('sage', 'Sage', 'Herbal, from Crete', 580),
    ('silver-needle', 'Silver Needle', 'White, buds alone', 2990),
    ('wuyi-rock', 'Wuyi Rock', 'Oolong, mineral, charcoal', 2390),
    ('yerba-mate', 'Yerba Mate', 'Green, from Misiones', 640),
    ('yunnan-gold', 'Yunnan Gold', 'Black, malt and pepper', 1590)
),
coffees (sku, name, taste, price_cents) AS (VALUES
    ('brazil-cerrado', 'Brazil Cerrado', 'Nut and milk chocolate', 1890),
    ('burundi-kayanza', 'Burundi Kayanza', 'Red berries, washed', 2490),
    ('colombia-huila', 'Colombia Huila', 'Caramel and plum', 2190),
    ('costa-rica-tarrazu', 'Costa Rica Tarrazú', 'Citrus, clean', 2290),
    ('ethiopia-guji', 'Ethiopia Guji', 'Natural, strawberry', 2590),
    ('ethiopia-yirga', 'Ethiopia Yirgacheffe', 'Jasmine and lemon', 2590),
    ('filter-house', 'House Filter', 'Medium roast, for every day', 1790),
    ('honduras-marcala', 'Honduras Marcala', 'Apple and honey', 1990),
    ('india-malabar', 'India Monsooned Malabar', 'Spice, no acidity', 1990),
    ('java-estate', 'Java Estate', 'Cedar and dark sugar', 2190),
    ('kenya-nyeri', 'Kenya Nyeri', 'Blackcurrant', 2790),
    ('mexico-chiapas', 'Mexico Chiapas', 'Hazelnut, mild', 1890),
    ('nicaragua-jinotega', 'Nicaragua Jinotega', 'Cocoa, round', 1990),
    ('panama-boquete', 'Panama Boquete', 'Bergamot and apricot', 3290),
    ('peru-cajamarca', 'Peru Cajamarca', 'Toffee and orange', 1990),
    ('rwanda-nyamagabe', 'Rwanda Nyamagabe', 'Red apple, washed', 2390),
    ('sumatra-mandheling', 'Sumatra Mandheling', 'Earth, tobacco, heavy', 2190),
    ('winter-blend', 'Winter Blend', 'Dark roast, gingerbread', 1990)
),
wares (sku, name, about, price_cents) AS (VALUES
    ('bowl-matcha', 'Matcha Bowl', 'Thrown by hand, 450 ml', 3400),
    ('caddy', 'Tea Caddy', 'With a tight lid, for 150 g', 1900),
    ('carafe', 'Carafe', 'Stoneware, 1 litre', 3900),
    ('cup-espresso', 'Espresso Cup', 'With saucer, 70 ml', 1400),
    ('cup-gaiwan', 'Gaiwan', 'Lid, bowl and saucer, 120 ml', 2600),
    ('cup-latte', 'Latte Cup', 'With saucer, 280 ml', 1900),
    ('cup-tumbler', 'Tumbler', 'Without a handle, 200 ml', 1300),
    ('jug-milk', 'Milk Jug', 'Pours without dripping, 250 ml', 1700),
    ('mug-large', 'Large Mug', 'For cold days, 450 ml', 1900),
    ('plate-cake', 'Cake Plate', '18 cm', 1500),
    ('pot-family', 'Family Teapot', 'With a strainer, 1.5 litres', 5900),
    ('pot-small', 'Small Teapot', 'For one, 400 ml', 3900),
    ('sugar-bowl', 'Sugar Bowl', 'With a lid', 1800)
),
foods (sku, name, about, price_cents) AS (VALUES
    ('cantuccini', 'Cantuccini', 'Almond biscuits, baked twice', 690),
    ('chocolate-70', 'Dark Chocolate 70 %', 'From Ecuador', 590),
    ('chocolate-milk', 'Milk Chocolate', 'From hay milk', 550),
    ('dates', 'Medjool Dates', 'Large and soft', 890),
    ('ginger-candied', 'Candied Ginger', 'In sugar', 620),
    ('honey-chestnut', 'Chestnut Honey', 'Dark, bitter', 1250),
    ('honey-heather', 'Heather Honey', 'Thick, aromatic', 1390),
    ('honey-lime', 'Lime Blossom Honey', 'Fresh, minty', 1150),
    ('jam-apricot', 'Apricot Jam', 'Two thirds fruit', 580),
    ('jam-quince', 'Quince Jelly', 'From old trees', 640),
    ('marmalade', 'Seville Marmalade', 'Bitter oranges', 650),
    ('oat-biscuits', 'Oat Biscuits', 'With sea salt', 480),
    ('shortbread', 'Shortbread', 'All butter', 590),
    ('sugar-candy', 'Rock Sugar', 'Brown, in pieces', 390),
    ('sugar-muscovado', 'Muscovado Sugar', 'Dark, moist', 450),
    ('syrup-elderflower', 'Elderflower Syrup', 'Hand picked', 790)
),
tools (sku, name, about, price_cents) AS (VALUES
    ('brush-grinder', 'Grinder Brush', 'Boar bristle', 790),
    ('dripper', 'Dripper', 'Porcelain, spiral ribs', 2400),
    ('filter-bags', 'Tea Filter Bags', 'Unbleached', 390),
    ('filter-paper', 'Paper Filters', 'Unbleached', 450),
    ('french-press', 'French Press', 'Glass and steel', 3900),
    ('infuser-basket', 'Basket Infuser', 'Steel, fits every mug', 1290),
    ('moka-pot', 'Moka Pot', 'Aluminium, for the stove', 3200),
    ('whisk-bamboo', 'Bamboo Whisk', 'Eighty prongs', 1800)
)
SELECT 'tea-' || sku || '-' || pack, name || ', ' || pack || ' g', 'tea', taste,
    price_cents * percent / 100 / 10 * 10
FROM teas CROSS JOIN (
    SELECT 50 AS pack, 55 AS percent UNION ALL SELECT 100, 100 UNION ALL SELECT 250, 235
) AS packs
UNION ALL
SELECT 'coffee-' || sku || '-' || pack, name || ', ' || pack || ' g', 'coffee',
    'Whole beans. ' || taste, price_cents * percent / 100 / 10 * 10
FROM coffees CROSS JOIN (
    SELECT 250 AS pack, 55 AS percent UNION ALL SELECT 500, 100 UNION ALL SELECT 1000, 185
) AS packs
UNION ALL
SELECT sku || '-' || glaze, name || ', ' || glaze, 'ware', about, price_cents
FROM wares CROSS JOIN (
    SELECT 'ash' AS glaze UNION ALL SELECT 'celadon' UNION ALL SELECT 'indigo'
    UNION ALL SELECT 'snow'
) AS glazes
UNION ALL
SELECT sku || '-' || pack, name || ', ' || size, 'pantry', about,
    price_cents * percent / 100 / 10 * 10
FROM foods CROSS JOIN (
    SELECT 'small' AS pack, '250 g' AS size, 100 AS percent UNION ALL SELECT 'large', '500 g', 185
) AS packs
UNION ALL
SELECT sku || '-' || pack, name || ', ' || pack, 'brewing', about, price_cents * percent / 100
FROM tools CROSS JOIN (
    SELECT 'small' AS pack, 100 AS percent UNION ALL SELECT 'medium', 125
    UNION ALL SELECT 'large', 150
) AS sizes;
