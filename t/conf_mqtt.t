#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# What "nginx -t" says to the directives of the stream module and to those of
# a gateway that are not of Redis, Kafka or auth: values that are accepted and
# refused, duplicates, what does not go together, each with file and line.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

my $t = MqttTest->new;

# [ directive, accepted values, refused values ], of a listener

my $number = qr/invalid number/;
my $value = qr/directive invalid value/;
my $range = qr/value must be between|value must be equal to or/;

my @listener = (
    [ mqtt_connect_timeout => [ '1', '500ms', '1m' ], { 'x' => $value } ],
    [ mqtt_send_timeout => [ '30s' ], { '-1' => $value } ],
    [ mqtt_max_packet_size => [ '128', '1m', '256m' ],
      { '127' => qr/must be at least 128 bytes/,
        '257m' => qr/must not be over 256m/, 'x' => $value } ],
    [ mqtt_receive_maximum => [ 1, 65535 ],
      { 0 => $range, 65536 => $range, 'x' => $number } ],
    [ mqtt_topic_alias_maximum => [ 0, 65535 ],
      { 65536 => $range, '-1' => $number } ],
    [ mqtt_max_inflight => [ 1, 65535 ], { 0 => $range, 65536 => $range } ],
    [ mqtt_max_subscriptions => [ 1, 1024 ], { 0 => $range, 1025 => $range } ],
    [ mqtt_send_window => [ 1, 65535 ], { 0 => $range, 65536 => $range } ],
    [ mqtt_max_queued => [ 1, 1000000 ], { 0 => $range, 1000001 => $range } ],
    [ mqtt_max_queued_size => [ '1k', '64m' ], { 'x' => $value } ],
    [ mqtt_output_buffer => [ '0', '64k' ], { '-1' => $value } ],
    [ mqtt_max_client_id => [ 1, 65535 ], { 0 => $range, 65536 => $range } ],
    [ mqtt_max_topic_length => [ 1, 65535 ],
      { 0 => $range, 65536 => $range } ],
    [ mqtt_max_topic_levels => [ 0, 65535 ], { 65536 => $range } ],
    [ mqtt_max_keepalive => [ 0, '65535s', '10m' ],
      { '65536' => qr/must not be over 65535 seconds/, 'x' => $value } ],
    [ mqtt_max_session_expiry => [ 0, '30d', '4294967295' ],
      { '4294967296' => qr/must not be over 4294967295 seconds/,
        '200y' => qr/must not be over/, 'x' => $value } ],
);

# the same of a gateway; what is given as is stands in line 5

my $topic = qr/invalid parent topic/;
my $kafka = qr/invalid Kafka topic/;

my @gateway = (
    [ drain_rate => [ 0, 1, 100000 ], { '-1' => $number, 'x' => $number } ],
    [ lease_timeout => [ '1s', '1000ms', '1m' ],
      { '999ms' => qr/must be at least 1s/, 'x' => $value } ],
    [ offline_messages => [ 1, 1000000 ], { 0 => $range, 1000001 => $range } ],
    [ offline_retention => [ '1s', '30d' ], { 'x' => $value } ],
    [ takeover_timeout => [ '300ms', '5s' ], { 'x' => $value } ],
    [ refused_publish => [ 'close', 'acknowledge' ],
      { 'drop' => qr/invalid value "drop"/ } ],
    [ zone => [ '4m', '64m' ],
      { '8k' => qr/zone of mqtt_gateway "test" is too small, at least \d+k/,
        'x' => $value } ],
    [ topic => [ "a; topic b kafka=a uplink; topic c uplink;\n"
                 . 'topic d downlink;'
                 . "topic \xc3\xa9 kafka=A.b_c-9 uplink downlink" ],
      { 'a/b' => $topic, '/' => $topic, '""' => $topic, '+' => $topic,
        '"#"' => $topic, '"a#"' => $topic, '$SYS' => $topic,
        "\"a\xff\"" => $topic,
        'a kafka=' => $kafka, 'a kafka=b/c' => $kafka, '"a b"' => $kafka,
        "\xc3\xa9" => $kafka, 'a kafka=..' => $kafka,
        'a kafka=' . 'b' x 250 => $kafka,
        'a both' => qr/invalid parameter "both"/,
        'a Kafka=b' => qr/invalid parameter "Kafka=b"/ } ],
);

# [ what, "gateway" or "stream", text, message, line; 0: any ]

my @whole = (
    [ 'a topic twice', 'gateway', "topic a; topic b;\ntopic a kafka=c;",
      qr/duplicate "topic" "a" in mqtt_gateway "test"/, 0 ],
    [ 'topic without parent', 'gateway', 'topic;',
      qr/invalid number of arguments in "topic"/, 5 ],
    [ 'unknown directive', 'gateway', 'topics a;',
      qr/unknown directive "topics"/, 5 ],
    [ 'a directive of a listener', 'gateway', 'mqtt_pass test;',
      qr/"mqtt_pass" directive is not allowed here/, 5 ],
    [ 'a gateway in a gateway', 'gateway', 'mqtt_gateway b { }',
      qr/"mqtt_gateway" directive is not allowed here/, 5 ],
    [ 'a directive of a gateway', 'stream', 'drain_rate 1;',
      qr/"drain_rate" directive is not allowed here/, 9 ],
    [ 'a gateway twice', 'stream', 'mqtt_gateway test { }',
      qr/duplicate mqtt_gateway "test"/, 9 ],
    [ 'a gateway without a name', 'stream', 'mqtt_gateway "" { }',
      qr/"mqtt_gateway" directive needs a name/, 9 ],
    (map { [ "a gateway named $_", 'stream', "mqtt_gateway $_ { }",
             qr/has a character in its name that is not allowed/, 9 ] }
         '"a b"', '"a{b"', '"a}"', "\xc3\xa9"),
    [ 'a gateway without Redis', 'stream',
      'mqtt_gateway b { auth anonymous; }',
      qr/no "redis" is defined for mqtt_gateway "b"/, 9 ],
    (map { [ "an $_ without Kafka", 'stream',
             "mqtt_gateway b { auth anonymous; redis 127.0.0.1; topic a $_; }",
             qr/no "kafka" .* "b"/, 9 ] } 'uplink', 'downlink'),
    [ 'a gateway in a server', 'server', 'mqtt_gateway b { }',
      qr/"mqtt_gateway" directive is not allowed here/, 11 ],
    [ 'mqtt_pass twice', 'server', 'mqtt_pass test; mqtt_pass test;',
      qr/"mqtt_pass" directive is duplicate/, 11 ],
    [ 'mqtt_pass without a name', 'server', 'mqtt_pass "";',
      qr/"mqtt_pass" directive needs the name of a gateway/, 11 ],
    [ 'an unknown gateway', 'server', 'mqtt_pass absent;',
      qr/unknown mqtt_gateway "absent"/, 11 ],
    [ 'proxy_pass before mqtt_pass', 'server',
      "proxy_pass 127.0.0.1:1;\nmqtt_pass test;",
      qr/"mqtt_pass" directive conflicts with another handler/, 12 ],
    [ 'proxy_pass behind mqtt_pass', 'server',
      "mqtt_pass test;\nproxy_pass 127.0.0.1:1;",
      qr/"mqtt_pass" conflicts with another handler of this server/, 11 ],
    [ 'return behind mqtt_pass', 'server', "mqtt_pass test;\nreturn x;",
      qr/"mqtt_pass" conflicts with another handler|"return"/, 11 ],
    [ 'mqtt_pass in stream', 'stream', 'mqtt_pass test;',
      qr/"mqtt_pass" directive is not allowed here/, 9 ],
);

my @good = (
    [ 'a gateway behind its server', 'behind',
      'mqtt_gateway later { redis 127.0.0.1; auth anonymous; }', 'later' ],
    [ 'two gateways', 'stream',
      'mqtt_gateway b { redis 127.0.0.1; auth anonymous; }' ],
    [ 'a gateway without topics', 'stream',
      'mqtt_gateway b:c.d-e_f/g { redis 127.0.0.1; auth anonymous; }' ],
    [ 'no server', 'stream', '', undef ],
);

my $tests = @whole + @good + 2 * 3;

for my $row (@listener) {
    $tests += 1 + keys %{ $row->[2] };
}

for my $row (@gateway) {
    $tests += @{ $row->[1] } + keys(%{ $row->[2] }) + ($row->[0] ne 'topic');
}

plan tests => $tests;

# a run for the first, second, third value of all directives

for my $i (0 .. 2) {
    my $all = join "\n", map { "$_->[0] " . ($_->[1][$i] // $_->[1][0]) . ';' }
                             @listener;

    accepted("all directives in stream, $i", 'stream', $all);
    accepted("all directives in server, $i", 'server',
             "mqtt_pass test;\n$all");
}

for my $row (@listener) {
    my ($name, $good, $bad) = @$row;

    refused("$name $_", 'server', "mqtt_pass test; $name $_;", $bad->{$_}, 11)
        for sort keys %$bad;

    refused("$name twice", 'server',
            "mqtt_pass test;\n$name $good->[0];\n$name $good->[0];",
            qr/"$name" directive is duplicate/, 13);
}

for my $row (@gateway) {
    my ($name, $good, $bad) = @$row;

    accepted("$name $_", 'gateway', "$name $_;") for @$good;
    refused("$name $_", 'gateway', "$name $_;", $bad->{$_}, 5)
        for sort keys %$bad;

    refused("$name twice", 'gateway', "$name $good->[0];\n$name $good->[0];",
            qr/"$name" directive is duplicate/, 6)
        if $name ne 'topic';
}

refused(@$_) for @whole;
accepted(@$_) for @good;

###############################################################################

# "gateway" stands in line 5, "stream" in line 9, "server" in line 11

sub conf {
    my ($part, $text, $gateway) = @_;

    my %in = (gateway => '', stream => '', behind => '',
              server => 'mqtt_pass ' . ($gateway // 'test') . ';',
              $part => $text);

    my $zone = $text =~ /zone / ? '' : 'zone 4m;';

    return <<"END";
%%GLOBALS%%
events { }
stream {
    mqtt_gateway test {
        $in{gateway}
        redis 127.0.0.1; kafka 127.0.0.1; auth anonymous; $zone
    }

    $in{stream}
    server { listen 127.0.0.1:%%PORT_mqtt%%;
        $in{server}
    }
    $in{behind}
}
END
}


sub accepted {
    my ($what, $part, $text, $gateway) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($output, $rc) = $t->nginx_t(conf($part, $text, $gateway));

    is($rc, 0, "accepted: $what") or diag($output);
}


sub refused {
    my ($what, $part, $text, $message, $line) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($output) = $t->nginx_t(conf($part, $text));
    my $where = $line ? qr/in \S+test\.conf:$line$/m : qr/in \S+test\.conf:/;

    like($output, qr/\[emerg\] .*$message.* $where/, "refused: $what");
}

###############################################################################
