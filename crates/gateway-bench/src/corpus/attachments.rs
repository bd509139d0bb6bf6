//! Embeds and attachments of messages.

use fastrand::Rng;
use gateway_sim::iso8601;
use serde_json::{Value, json};

use super::draw::{base64, chance, hex, pick};
use super::text;
use super::time::Clock;

/// An attachment object
/// ([Discord Docs, Messages Resource > Attachment Object](https://discord.com/developers/docs/resources/message#attachment-object)).
pub(super) fn attachment(random: &mut Rng, clock: &mut Clock, channel: u64) -> Value {
    const FILES: [(&str, &str); 5] = [
        ("image.png", "image/png"),
        ("IMG_2041.jpg", "image/jpeg"),
        ("Bildschirmfoto_größer.png", "image/png"),
        ("clip.mp4", "video/mp4"),
        ("latest.log", "text/plain; charset=utf-8"),
    ];
    let (filename, content_type) = FILES[random.usize(0..FILES.len())];
    let id = clock.snowflake(random);
    let tail = format!(
        "attachments/{channel}/{id}/{filename}?ex={}&is={}&hm={}&",
        hex(random, 8),
        hex(random, 8),
        hex(random, 64)
    );
    let mut attachment = json!({
        "url": format!("https://cdn.discordapp.com/{tail}"), "size": random.u32(1000..8_000_000),
        "proxy_url": format!("https://media.discordapp.net/{tail}"), "id": id.to_string(),
        "filename": filename,
        "content_type": content_type, "content_scan_version": 2,
    });
    if !content_type.starts_with("text") {
        attachment["width"] = random.u16(200..3840).into();
        attachment["height"] = random.u16(200..2160).into();
        attachment["placeholder_version"] = 1.into();
        attachment["placeholder"] = base64(random, 28).into();
    }
    if chance(random, 10) {
        attachment["description"] = text::words(random, 8).into();
    }
    attachment
}

/// An embed: a link preview, or one written by a bot.
pub(super) fn embed(random: &mut Rng, clock: &Clock) -> Value {
    if random.bool() { link_preview(random) } else { rich_embed(random, clock) }
}

/// The preview of a web page
/// ([Discord Docs, Messages Resource > Embed Object](https://discord.com/developers/docs/resources/message#embed-object)).
pub(super) fn link_preview(random: &mut Rng) -> Value {
    let video = random.bool();
    let url = text::link(random);
    let mut embed = json!({
        "url": url, "type": if video { "video" } else { "article" }, "title": text::words(random, 8),
        "provider": {"url": "https://www.youtube.com", "name": "YouTube"},
        "description": text::words(random, 24),
        "thumbnail": picture(random, "maxresdefault.jpg"), "content_scan_version": 2,
    });
    if video {
        embed["color"] = 0xff_0000.into();
        embed["author"] = json!({"url": text::link(random), "name": text::title(random)});
        embed["video"] = json!({
            "width": 1280, "url": format!("https://www.youtube.com/embed/{}", hex(random, 11)), "height": 720,
            "flags": 0,
        });
    }
    embed
}

/// An embed written by a bot.
pub(super) fn rich_embed(random: &mut Rng, clock: &Clock) -> Value {
    let mut embed = json!({
        "type": "rich", "title": text::title(random), "description": text::words(random, 20),
        "color": random.u32(0..0x0100_0000), "content_scan_version": 2,
    });
    if chance(random, 60) {
        embed["fields"] = (0..random.usize(1..6))
            .map(|_| {
                json!({"value": text::words(random, 6), "name": text::title(random),
                "inline": random.bool()})
            })
            .collect();
    }
    if chance(random, 40) {
        embed["footer"] = json!({
            "text": text::words(random, 4), "proxy_icon_url": proxied(random, "icon.png"),
            "icon_url": "https://images.example.com/icon.png",
        });
    }
    if chance(random, 40) {
        embed["timestamp"] = iso8601(clock.now_ms).into();
    }
    if chance(random, 25) {
        embed["image"] = picture(random, "banner.png");
    }
    if chance(random, 25) {
        embed["author"] = json!({"name": text::title(random),
            "icon_url": "https://images.example.com/author.png",
            "proxy_icon_url": proxied(random, "author.png")});
    }
    embed
}

fn picture(random: &mut Rng, file: &str) -> Value {
    json!({
        "width": pick(random, &[&1280_u16, &1920, &480]),
        "url": format!("https://images.example.com/vi/{}/{file}", hex(random, 11)),
        "proxy_url": proxied(random, file), "placeholder_version": 1, "placeholder": base64(random, 28),
        "height": pick(random, &[&720_u16, &1080, &360]), "flags": 0, "content_type": "image/jpeg",
    })
}

fn proxied(random: &mut Rng, file: &str) -> String {
    let key = base64(random, 43);
    format!(
        "https://images-ext-1.discordapp.net/external/{key}/https/images.example.com/vi/{}/{file}",
        hex(random, 11)
    )
}
