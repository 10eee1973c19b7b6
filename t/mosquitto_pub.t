#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A real client: mosquitto_pub in each version and with each QoS, over TCP and
# TLS, to a mapped topic; the records in Kafka are what it published.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

###############################################################################

die "no mosquitto_pub: run 'make deps'\n"
    if system('which mosquitto_pub > /dev/null');

my $t = MqttTest->new;
my $dir = $t->certs;
my $topic = $t->kafka->topic('pub');

$t->write_conf(
    kafka => 1,
    gateway => "topic pub kafka=$topic uplink;",
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_tls%% ssl;
        ssl_certificate %%TESTDIR%%/server.crt;
        ssl_certificate_key %%TESTDIR%%/server.key;
        mqtt_pass test;
    }
END

$t->run;

my @versions = ('31', '311', '5');

plan tests => 2 * 9 + 15;

my %records;

for my $version (@versions) {
    for my $qos (0, 1, 2) {
        my $id = "v$version-q$qos";

        is(pub("-V mqttv$version -q $qos -i $id -t pub/$id -m 'hello $id'"),
           0, "version $version, QoS $qos");
    }
}

# many lines through one connection, with each QoS

for my $qos (0, 1, 2) {
    my $lines = join '', map { "line $_\n" } 1 .. 300;

    $t->write_file("lines-$qos", $lines);

    is(pub("-V mqttv5 -q $qos -i lines-$qos -t pub/lines -l"
           . " < $dir/lines-$qos"), 0, "300 lines with QoS $qos");
}

# a file, an empty message, a user name, a session, a will, 5.0 properties, TLS

$t->write_file('file', join '', map { chr } (0 .. 255) x 2000);

is(pub("-V mqttv311 -q 1 -i file -t pub/file -f $dir/file"), 0, 'a file');
is(pub('-V mqttv311 -q 1 -i empty -t pub/empty -n'), 0, 'an empty message');
is(pub('-V mqttv311 -q 1 -i session -c -u user -P password -t pub/session'
       . ' --will-topic pub/will --will-payload bye -m x'), 0,
   'a session, a user name and a will');
is(pub('-V mqttv5 -q 1 -i props -t pub/props -m x'
       . ' -D publish user-property colour red'
       . ' -D publish content-type text/plain'
       . ' -D connect session-expiry-interval 60'), 0, 'properties of 5.0');
is(pub("-V mqttv5 -q 2 -i tls -t pub/tls -m x --cafile $dir/ca.crt", 'tls'),
   0, 'TLS');

# what has arrived

my @records = $t->kafka->records($topic, count => 9 + 900 + 5);

push @{ $records{$_->{key}} }, $_ for @records;

for my $version (@versions) {
    for my $qos (0, 1, 2) {
        my $id = "v$version-q$qos";
        my ($record) = @{ $records{$id} || [] };

        is_deeply([ $record && $record->{payload}, headers($record) ],
                  [ "hello $id", { qoslevel => $qos, clientId => $id,
                                   cleansessionflag => 'true',
                                   mqttSecondTopic => "/$id",
                                   mqttGateway => 'test' } ],
                  "record of version $version, QoS $qos");
    }
}

for my $qos (0, 1, 2) {
    is(join(' ', map { $_->{payload} } @{ $records{"lines-$qos"} || [] }),
       join(' ', map { "line $_" } 1 .. 300),
       "lines with QoS $qos, in their order");
}

my $file = $records{file}[0];
ok($file && $file->{payload} eq join('', map { chr } (0 .. 255) x 2000),
   'the file is the same');

my $session = headers($records{session}[0]);
is($session->{cleansessionflag}, 'false', 'the flag of a session');
is($records{empty}[0]{payload}, '', 'an empty message is an empty value');

my $props = headers($records{props}[0]);
is($props->{colour}, 'red', 'a user property');

###############################################################################

sub pub {
    my ($args, $port) = @_;

    $port = $t->port($port // 'mqtt');

    my $host = $args =~ /cafile/ ? 'localhost' : '127.0.0.1';
    my $output = `timeout 30 mosquitto_pub -h $host -p $port $args 2>&1`;
    my $code = $? >> 8;

    diag("mosquitto_pub $args: $output") if $code;

    return $code;
}


sub headers {
    my ($record) = @_;

    return { map { @$_ } @{ $record ? $record->{headers} : [] } };
}

###############################################################################
