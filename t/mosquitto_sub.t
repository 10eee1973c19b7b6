#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# mosquitto_sub and mosquitto_pub of each version as peers, over TCP and TLS:
# messages with every QoS, wildcards, many lines, properties, the clients'
# own windows, shared subscriptions.  Retained messages are in retain_peers.t.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ slurp slow /;
use Test::More tests => 2 * 3 * (3 * 2 + 3) + 8;

use constant MANY => 500;

###############################################################################

die "no mosquitto_sub: run 'make deps'\n"
    if system('which mosquitto_sub mosquitto_pub > /dev/null');

my $t = MqttTest->new;
my $dir = $t->certs;
my $started = 0;
my $alive = 0;

$t->write_conf(workers => 2, listen => 'reuseport', servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_tls%% ssl reuseport;
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;
        mqtt_pass test;
    }
END

$t->run;

my $lines = join '', map { "line $_\n" } 1 .. MANY;

$t->write_file('lines', $lines);

for my $transport ('tcp', 'tls') {
    my $port = $t->port($transport eq 'tls' ? 'tls' : 'mqtt');
    my $peer = "-h localhost -p $port"
               . ($transport eq 'tls' ? " --cafile $dir/ca.crt" : '');

    for my $version ('mqttv31', 'mqttv311', 'mqttv5') {
        my $name = "$transport, $version";
        my $top = "$transport/$version";

        # each to four subscribers, of which some are at the other worker

        for my $qos (0, 1, 2) {
            my $topic = "$top/q$qos";
            my @subs = map { subscribe("$peer -V $version -q 2 -C 2"
                                       . " -t '$topic/+' -F '%q %r %t %p'") }
                       1 .. 4;

            is(pub("$peer -V $version -q $qos -t $topic/a -m one"), 0,
               "$name, QoS $qos: published");
            pub("$peer -V $version -q $qos -t $topic/b -m two");

            my $wanted = "$qos 0 $topic/a one\n$qos 0 $topic/b two\n";

            is(scalar(grep { output($_) eq $wanted } @subs), 4,
               "$name, QoS $qos: all four have it");
        }

        # through the clients' windows of 20, in order

        my @subs = map { subscribe("$peer -V $version -q 2 -C " . MANY
                                   . " -t '$top/many'") } 1 .. 3;

        is(pub("$peer -V $version -q 2 -t $top/many -l < $dir/lines"), 0,
           "$name: many lines");
        is(scalar(grep { output($_) eq $lines } @subs), 3,
           "$name: in order, each once");

        # several filters that match, -U takes one away

        my $sub = subscribe("$peer -V $version -q 1 -C 2 -t '$top/x/#'"
                            . " -t '$top/x/1' -t '$top/end' -U '$top/x/1'"
                            . " -F '%t %p'");

        pub("$peer -V $version -q 1 -t $top/x/1 -m 1");
        pub("$peer -V $version -q 1 -t $top/end -m 2");
        is(output($sub), "$top/x/1 1\n$top/end 2\n", "$name: one copy");
    }
}

# properties of 5.0

my $peer = '-V mqttv5 -h localhost -p ' . $t->port('mqtt');
my $sub = subscribe("$peer -q 1 -C 1 -t props"
                    . " -D subscribe subscription-identifier 42"
                    . " -F '%C|%R|%D|%P|%A|%E|%S|%F|%p'");

pub("$peer -q 1 -t props -m text -D publish content-type text/plain"
    . " -D publish response-topic to/me -D publish correlation-data abc"
    . " -D publish user-property a 1 -D publish user-property b 2"
    . " -D publish message-expiry-interval 100"
    . " -D publish payload-format-indicator 1");

like(output($sub),
     qr{^text/plain\|to/me\|abc\|a:1 b:2\|\|(?:99|100)\|42\|1\|text$},
     'all properties');

# an alias of the publisher; Maximum Packet Size and Receive Maximum of the
# subscriber

$sub = subscribe("$peer -q 1 -C 3 -t alias -D connect receive-maximum 1"
                 . " -D connect maximum-packet-size 100 -F '%t %p'");

my $small = "one\n" . 'x' x 200 . "\ntwo\nthree\n";

$t->write_file('small', $small);
is(pub("$peer -q 1 -t alias -l -D publish topic-alias 3 < $dir/small"), 0,
   'with a topic alias');
is(output($sub), "alias one\nalias two\nalias three\n",
   'what is too large is left out');

# a refusal is told

is(pub("$peer -q 1 -t 'a/#' -m x 2> /dev/null") != 0, 1,
   'a topic with a wildcard');
like(`timeout 20 mosquitto_sub $peer -t '\$share//a' -W 1 2>&1`,
     qr/denied|invalid|error/i, 'an invalid share');

# of a share each message goes to one member, wherever it is

my @members = map { subscribe("$peer -q 1 -t '\$share/g/s/+' -F '%p'"
                              . ' -C 1000') } 1 .. 4;
my $all = subscribe("$peer -q 1 -t 's/+' -C 100 -F '%p'");

pub("$peer -q 1 -t s/1 -l < " . $t->write_file('hundred',
    join '', map { "$_\n" } 1 .. 100));

is(output($all), join('', map { "$_\n" } 1 .. 100),
   'beside a share: all messages');

my @got;

wait_for {
    @got = map { [ split /\n/, slurp($_->{log}) ] } @members;
    100 == map { @$_ } @got;
};

is(join(' ', sort { $a <=> $b } map { @$_ } @got), join(' ', 1 .. 100),
   'of a share: one member each');
is(scalar(grep { @$_ > 0 } @got), 4, 'and all have some');

$_->{child}->stop for @members;

###############################################################################

sub pub {
    my ($args) = @_;

    return system('timeout ' . slow(30) . " mosquitto_pub $args");
}


# runs until the subscription is there

sub subscribe {
    my ($args) = @_;

    my $filters = () = $args =~ /\s-t\s/g;
    my $removed = () = $args =~ /\s-U\s/g;
    my $log = "$dir/sub." . ++$started;
    my $seconds = slow(30);

    # those that have ended may have to be noticed first

    wait_for { $t->total('subscriptions') == $alive };

    my $child = MqttTest::Util->spawn(
        name    => 'mosquitto_sub',
        log     => $log,
        command => [ 'sh', '-c', "exec mosquitto_sub $args -W $seconds" ],
    );

    $alive += $filters - $removed;

    wait_for { $t->total('subscriptions') == $alive }
        or die "mosquitto_sub $args: " . slurp($log);

    return { child => $child, log => $log, filters => $filters - $removed };
}


# of one that ends by itself

sub output {
    my ($s) = @_;

    $s->{child}->wait(30);
    $alive -= $s->{filters};

    return slurp($s->{log});
}

###############################################################################
