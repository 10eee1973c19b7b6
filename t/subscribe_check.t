#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# SUBSCRIBE and UNSUBSCRIBE as single packets, 3.8 to 3.11: what is a
# violation of the protocol, what is refused with a code of its own, what is
# granted.  Statements are those of 5.0 unless "3.1.1" is named.

###############################################################################

use warnings;
use strict;

no warnings 'qw';

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen_string /;
use Test::More;

use constant { NO_LOCAL => 4, RAP => 8 };

###############################################################################

# [ statement, what, versions, type, fields, reason of the DISCONNECT ]

my @bad = (
    (map { [ 'MQTT-3.8.1-1', "flags $_", [ 4, 5 ], SUBSCRIBE =>
             { flags => $_ }, 0x81 ] } 0, 1, 3, 6, 10, 15),
    (map { [ 'MQTT-3.10.1-1', "flags $_", [ 4, 5 ], UNSUBSCRIBE =>
             { flags => $_ }, 0x81 ] } 0, 1, 3, 6, 10, 15),
    (map { [ 'MQTT-2.2.1-3', 'packet id 0', [ 3, 4, 5 ], $_ =>
             { packet_id => 0 }, 0x82 ] } qw/ SUBSCRIBE UNSUBSCRIBE /),
    [ 'MQTT-3.8.3-2', 'no filter', [ 3, 4, 5 ], SUBSCRIBE =>
      { filters => [] }, 0x82 ],
    [ 'MQTT-3.10.3-2', 'no filter', [ 3, 4, 5 ], UNSUBSCRIBE =>
      { filters => [] }, 0x82 ],

    # [MQTT-3.8.3-4] of 3.1.1: reserved bits, QoS 3

    (map { [ 'MQTT-3.8.3-5', sprintf('options 0x%02x', $_), [ 4, 5 ],
             SUBSCRIBE => { filters => [ [ 'a', $_ ] ] }, 0x81 ] }
         0x40, 0x80, 0xc1),
    (map { [ '3.1.1 MQTT-3.8.3-4', sprintf('options 0x%02x', $_), [ 4 ],
             SUBSCRIBE => { filters => [ [ 'a', $_ ] ] }, 0x81 ] }
         0x04, 0x08, 0x10, 0x20),
    [ '3.8.3.1', 'QoS 3', [ 3, 4, 5 ], SUBSCRIBE =>
      { filters => [ [ 'a', 3 ] ] }, qr/^(?:129|130)$/ ],
    [ '3.8.3.1', 'Retain Handling 3', [ 5 ], SUBSCRIBE =>
      { filters => [ [ 'a', 0x30 ] ] }, qr/^(?:129|130)$/ ],
    [ '3.8.3.1', 'one of two has QoS 3', [ 4, 5 ], SUBSCRIBE =>
      { filters => [ [ 'a', 1 ], [ 'b', 3 ] ] }, qr/^(?:129|130)$/ ],
    [ 'MQTT-3.8.3-4', 'No Local on a shared subscription', [ 5 ],
      SUBSCRIBE => { filters => [ [ '$share/g/a', NO_LOCAL ] ] }, 0x82 ],

    (map { my $type = $_; (
        [ 'MQTT-1.5.4-1', 'a filter that is not UTF-8', [ 3, 4, 5 ], $type,
          { filters => [ entry($type, "a\xff") ] }, 0x81 ],
        [ '1.5.4', 'a filter with a control character', [ 3, 4, 5 ], $type,
          { filters => [ entry($type, "a\x01") ] }, 0x81 ],
        [ '1.5.4', 'a filter with U+0085', [ 3, 4, 5 ], $type,
          { filters => [ entry($type, "a/\xc2\x85/b") ] }, 0x81 ],
        [ 'MQTT-1.5.4-1', 'a filter with a surrogate', [ 3, 4, 5 ], $type,
          { filters => [ entry($type, "\xed\xa0\x80") ] }, 0x81 ],
        [ 'MQTT-1.5.4-2', 'a filter with NUL', [ 3, 4, 5 ], $type,
          { filters => [ entry($type, "a\0b") ] }, 0x81 ],
        [ 'MQTT-4.7.3-1', 'an empty filter', [ 3, 4, 5 ], $type,
          { filters => [ entry($type, '') ] }, 0x82 ],
        [ '3.8.3', 'a filter longer than the packet', [ 4, 5 ], $type,
          { filters => [], trail => "\0\x09abc" }, 0x81 ],
        [ '2.2.2.2', 'a property of PUBLISH', [ 5 ], $type,
          { props => [ [ topic_alias => 1 ] ] }, 0x81 ],
        [ '2.2.2.2', 'an unknown property', [ 5 ], $type,
          { props => [ [ 0x7e => 'x' ] ] }, 0x81 ],
        [ '2.2.2.1', 'properties longer than the packet', [ 5 ], $type,
          { props => "\x7f" }, 0x81 ],
    ) } qw/ SUBSCRIBE UNSUBSCRIBE /),

    [ '3.8.3', 'a filter without options', [ 4, 5 ], SUBSCRIBE =>
      { trail => gen_string('b') }, 0x81 ],
    [ '3.8.2.1.2', 'subscription identifier 0', [ 5 ], SUBSCRIBE =>
      { props => [ [ subscription_id => 0 ] ] }, 0x82 ],
    [ '3.8.2.1.2', 'subscription identifier twice', [ 5 ], SUBSCRIBE =>
      { props => [ [ subscription_id => 1 ], [ subscription_id => 2 ] ] },
      0x82 ],
    [ '1.5.5', 'subscription identifier of 5 bytes', [ 5 ], SUBSCRIBE =>
      { props => [ [ 0x0b => "\xff\xff\xff\xff\x7f" ] ] }, 0x81 ],
    [ '3.10.2.1', 'subscription identifier', [ 5 ], UNSUBSCRIBE =>
      { props => [ [ subscription_id => 1 ] ] }, 0x81 ],
    [ '3.8.2.1.3', 'a user property that is not UTF-8', [ 5 ], SUBSCRIBE =>
      { props => [ [ user_property => 'a', "\xc0\x80" ] ] }, 0x81 ],
);

# filters that no server may accept; 5.0 has a code for them

my @bad_filters = (
    (map { [ 'MQTT-4.7.1-1', $_ ] } 'a#', '#/a', 'a/#/b', 'a/b#', '##',
                                    '/#/', 'a/#b'),
    (map { [ 'MQTT-4.7.1-2', $_ ] } 'a+', '+a', 'a/+b/c', 'a/b+', '++',
                                    '+/a+', '#+', '+#'),
    (map { [ 'MQTT-4.8.2-1', $_ ] } '$share//a', '$share/', '$share/g',
                                    '$share//'),
    (map { [ 'MQTT-4.8.2-2', $_ ] } '$share/g/', '$share/+/a', '$share/#/a',
                                    '$share/g#/a', '$share/g+x/a'),
    (map { [ 'MQTT-4.8.2-2', "\$share/g/$_" ] } 'a#', '#/a', 'a+', '+a/b'),
);

my @good_filters = (
    qw( a a/b / // /a a/ a//b + # +/+ +/# a/+ a/# a/+/b a/+/# /+ /# +/ //#
        $SYS $SYS/# $SYS/+ $a/b $sharex/a/b
        $share/g/a $share/g/# $share/g/+ $share/g// $share/$g/a/+/b
        $share/g/$SYS/a $share/a.b-c/x ),
    'a b/c d', "\xc3\xa9/\xe2\x82\xac/\xf0\x9f\x9a\x97", "\xef\xbb\xbfa",
    'x' x 65535, '$share/g/' . 'x' x 1000, 'a/' x 50 . '#',
);

# each with "a/b" and options, in 5.0 all of them

my @options = (0 .. 2, map { my $o = $_; map { $o | $_ << 4 } 0 .. 2 }
                           0, 1, 2, NO_LOCAL, 1 | RAP, 2 | NO_LOCAL | RAP);

plan tests => (map { map { $_ } @{ $_->[2] } } @bad) + 1
              + 2 * 3 * @bad_filters + 2 * 3 * @good_filters
              + 2 * 3 + @options + 3 * 4 + 5;

my $t = MqttTest->new;

$t->write_conf(server => 'mqtt_max_subscriptions 1000;');
$t->run;

my $count = 0;

for my $case (@bad) {
    my ($statement, $what, $versions, $type, $fields, $reason) = @$case;

    for my $version (@$versions) {
        my $c = $t->client(version => $version);

        $c->send($type => packet_id => 1,
                 filters => [ entry($type, 'a') ], %$fields);
        $c->expect_disconnect($reason, "$statement, $version: $type, $what");
        $count++;
    }
}

is($t->total('protocol_errors'), $count, 'each is a protocol error');

for my $version (3, 4, 5) {
    my $shown = sub { length $_[0] > 40 ? length($_[0]) . ' bytes' : $_[0] };

    for my $case (@bad_filters) {
        my ($statement, $filter) = @$case;

        for my $type (qw/ SUBSCRIBE UNSUBSCRIBE /) {
            my $c = $t->client(version => $version);
            my $name = "$statement, $version: $type \"$filter\"";

            $c->send($type => packet_id => 7,
                     filters => [ entry($type, 'ok'), entry($type, $filter),
                                  entry($type, 'ok/2') ]);

            # those around it are treated as if they stood alone

            $type eq 'SUBSCRIBE' && $version == 5
                ? $c->expect(SUBACK => codes => [ 0, 0x8f, 0 ],
                             packet_id => 7, -name => $name)
            : $version == 5
                ? $c->expect(UNSUBACK => codes => [ 0x11, 0x8f, 0x11 ],
                             packet_id => 7, -name => $name)
            : $c->expect_close($name);

            $c->disconnect if $version == 5;
        }
    }

    my $c = $t->client(version => $version);

    for my $filter (@good_filters) {
        my $suback = $c->subscribe($filter => 2);

        is(join(' ', @{ $suback->{codes} }), '2',
           "$version: SUBSCRIBE " . $shown->($filter));

        my $unsuback = $c->unsubscribe($filter);

        is(join(' ', @{ $unsuback->{codes} }), $version == 5 ? '0' : '',
           "MQTT-3.11.3-1, $version: UNSUBSCRIBE " . $shown->($filter));
    }

    # codes in the order of the filters, also for the same one twice

    $c->send(SUBSCRIBE => packet_id => 65535,
             filters => [ map { [ "o/$_", $_ % 3 ] } 0 .. 99 ]);
    $c->expect(SUBACK => packet_id => 65535, codes => [ map { $_ % 3 }
                                                        0 .. 99 ],
               -name => "MQTT-3.8.4-2, MQTT-3.8.4-5, $version: 100 filters");

    $c->send(SUBSCRIBE => packet_id => 2,
             filters => [ [ 'd', 2 ], [ 'd', 0 ], [ 'd', 1 ] ]);
    $c->expect(SUBACK => packet_id => 2, codes => [ 2, 0, 1 ],
               -name => "MQTT-3.8.4-6, $version: the same filter three times");

    # a client is told in the order in which it asked

    $c->queue(UNSUBSCRIBE => packet_id => 3, filters => [ 'o/1', 'none',
                                                          'o/2', 'o/1' ]);
    $c->queue(SUBSCRIBE => packet_id => 4, filters => [ [ 'o/1', 1 ] ]);
    $c->queue('PINGREQ');
    $c->flush;
    $c->expect(UNSUBACK => packet_id => 3,
               codes => $version == 5 ? [ 0, 0x11, 0, 0x11 ] : [],
               -name => "MQTT-3.11.3-1, $version: one code for each");
    $c->expect(SUBACK => packet_id => 4, codes => [ 1 ],
               -name => "MQTT-3.8.4-1, $version: SUBACK");
    $c->expect_alive("$version: and PINGRESP");

    # the filters end as they were: d once, o/0, o/1, o/3 and so on

    is($t->total('subscriptions'), 100, "$version: subscriptions are counted");

    $c->disconnect;
    wait_for { $t->total('clients') == 0 };
}

my $c = $t->client;

for my $option (@options) {
    is($c->subscribe('a/b' => $option)->{codes}[0], $option & 3,
       sprintf '3.8.3.1: options 0x%02x', $option);
}

# properties that are allowed

$c->send(SUBSCRIBE => packet_id => 9, filters => [ [ 'a', 1 ] ],
         props => [ [ user_property => 'a', 'b' ],
                    [ subscription_id => 268_435_455 ],
                    [ user_property => 'a', 'b' ] ]);
$c->expect(SUBACK => packet_id => 9, codes => [ 1 ], props => [],
           -name => '3.8.2.1: all properties of SUBSCRIBE');

$c->send(UNSUBSCRIBE => packet_id => 9, filters => [ 'a' ],
         props => [ [ user_property => 'a', 'b' ] ]);
$c->expect(UNSUBACK => packet_id => 9, codes => [ 0 ], props => [],
           -name => '3.10.2.1: a user property');

# an answer stands before what the subscription brings

$c->queue(SUBSCRIBE => packet_id => 10, filters => [ [ 'first', 0 ] ]);
$c->queue(PUBLISH => topic => 'first', payload => 'x');
$c->flush;
$c->expect(SUBACK => packet_id => 10, -name => '3.8.4: SUBACK');
$c->expect(PUBLISH => topic => 'first', -name => '3.8.4: then a message');
$c->expect_alive;

###############################################################################

# an entry of a list of filters

sub entry {
    my ($type, $filter) = @_;

    return $type eq 'SUBSCRIBE' ? [ $filter, 0 ] : $filter;
}

###############################################################################
