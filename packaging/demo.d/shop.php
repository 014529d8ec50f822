<?php
// A shop as PHP has them, without a browser: serves made-up requests, and sends each one's times to a Pinba server.
//
//   php -n -d extension=pinba.so -d pinba.enabled=1 -d pinba.server=HOST:PORT shop.php

// Takes so many milliseconds on average, mostly less, and sometimes much more.
function work(array $tags, float $mean, int $times = 1): void
{
    for ($i = 0; $i < $times; ++$i) {
        $timer = pinba_timer_start($tags);
        usleep((int) (-log(1 - mt_rand() / (mt_getrandmax() + 1)) * $mean * 1000));
        pinba_timer_stop($timer);
    }
}

function item(): string
{
    work(["group" => "redis", "op" => "get"], 1);
    work(["group" => "mysql", "op" => "select", "server" => "db" . mt_rand(1, 2)], 8);
    return "/item/" . mt_rand(1, 10000);
}

function cart(): string
{
    work(["group" => "redis", "op" => "get"], 1, 3);
    work(["group" => "mysql", "op" => "update", "server" => "db1"], 15);
    return "/cart.php";
}

function search(): string
{
    work(["group" => "sphinx", "op" => "search"], 40);
    return "/search.php";
}

pinba_hostname_set("web1");
pinba_server_name_set("shop.example.com");
while (true) {
    pinba_reset();
    $began = microtime(true);
    $pages = ["item", "item", "item", "item", "cart", "search"];
    $script = $pages[array_rand($pages)]();
    work(["template" => "page"], 2);
    pinba_request_time_set(microtime(true) - $began);
    pinba_flush($script, PINBA_FLUSH_RESET_DATA);
    usleep(mt_rand(5000, 40000));
}
