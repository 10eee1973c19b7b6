#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A device's PUBLISH is a record in Kafka: topic, key, value, timestamp and
# headers exactly as the contract says, for every version and QoS.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;
use Time::HiRes qw/ time /;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $mapped = $kafka->topic('vehicle.telemetry');
my $both = $kafka->topic('chat');
my $down = $kafka->topic('down');

$t->write_conf(kafka => 1, gateway => <<"END");
    kafka_set linger.ms 0;
    topic telemetry kafka=$mapped uplink;
    topic $both;
    topic command kafka=$down downlink;
END

$t->run;

my $bytes = join '', map { chr } 0 .. 255;
my $large = $bytes x 400;

my %f = (version => 4, connect => { clean => 1 }, topic => 'telemetry/x',
         payload => 'p', qos => 1, flags => [ 1, 'true', '/x' ], more => []);

my @cases = (

    # QoS and the session of the sender; the flags of the record are QoS,
    # cleansessionflag and mqttSecondTopic

    { %f, name => '3.1 QoS 0', version => 3, qos => 0,
      flags => [ 0, 'true', '/x' ] },
    { %f, name => '3.1.1 QoS 0', qos => 0, flags => [ 0, 'true', '/x' ] },
    { %f, name => '3.1.1 QoS 1' },
    { %f, name => '3.1.1 QoS 2', qos => 2, flags => [ 2, 'true', '/x' ] },
    { %f, name => '3.1 session kept', version => 3, connect => { clean => 0 },
      flags => [ 1, 'false', '/x' ] },
    { %f, name => '3.1.1 session kept', connect => { clean => 0 },
      flags => [ 1, 'false', '/x' ] },
    { %f, name => '5.0 QoS 0', version => 5, qos => 0,
      flags => [ 0, 'true', '/x' ] },
    { %f, name => '5.0 QoS 2', version => 5, qos => 2,
      flags => [ 2, 'true', '/x' ] },
    { %f, name => '5.0 clean start, session expiry', version => 5,
      connect => { clean => 1, props => [ [ session_expiry => 60 ] ] },
      flags => [ 1, 'false', '/x' ] },
    { %f, name => '5.0 clean start, session expiry 0', version => 5,
      connect => { clean => 1, props => [ [ session_expiry => 0 ] ] } },
    { %f, name => '5.0 no clean start', version => 5,
      connect => { clean => 0 }, flags => [ 1, 'false', '/x' ] },

    # sub-levels

    { %f, name => 'no sub-levels', topic => 'telemetry',
      flags => [ 1, 'true', '' ] },
    { %f, name => 'an empty sub-level', topic => 'telemetry/',
      flags => [ 1, 'true', '/' ] },
    { %f, name => 'empty levels in between', topic => 'telemetry//a/',
      flags => [ 1, 'true', '//a/' ] },
    { %f, name => 'several sub-levels', topic => 'telemetry/engine/rpm',
      flags => [ 1, 'true', '/engine/rpm' ] },
    { %f, name => 'sub-levels in UTF-8', topic => "telemetry/\xc3\xa9/,=",
      flags => [ 1, 'true', "/\xc3\xa9/,=" ] },

    # values

    { %f, name => 'every byte', payload => $bytes },
    { %f, name => 'empty is not null', payload => '' },
    { %f, name => 'larger than one read', payload => $large },
    { %f, name => 'retain', retain => 1,
      more => [ [ mqttRetain => 'true' ] ] },

    # properties of 5.0

    { %f, name => 'all properties in a fixed order', version => 5, retain => 1,
      props => [ [ user_property => 'b', '1' ],
                 [ correlation_data => $bytes ],
                 [ user_property => 'a', '' ],
                 [ content_type => "text/\xc3\xa9" ],
                 [ user_property => 'b', '2' ],
                 [ response_topic => 'reply/to' ],
                 [ message_expiry => 4294967295 ],
                 [ payload_format => 1 ],
                 [ user_property => '', 'no name' ] ],
      more => [ [ mqttRetain => 'true' ],
                [ mqtt5PayloadFormat => '1' ],
                [ mqtt5MsgExpireInterval => '4294967295' ],
                [ mqtt5ContentType => "text/\xc3\xa9" ],
                [ mqtt5ResponseTopic => 'reply/to' ],
                [ mqtt5CorrelationData => $bytes ],
                [ b => '1' ], [ a => '' ], [ b => '2' ],
                [ '' => 'no name' ] ] },
    { %f, name => 'properties that are there, but empty', version => 5,
      props => [ [ payload_format => 0 ], [ content_type => '' ],
                 [ correlation_data => '' ], [ message_expiry => 1 ] ],
      more => [ [ mqtt5PayloadFormat => '0' ],
                [ mqtt5MsgExpireInterval => '1' ],
                [ mqtt5ContentType => '' ], [ mqtt5CorrelationData => '' ] ] },
    { %f, name => 'names of the contract are refused in any case',
      version => 5,
      props => [ map({ [ user_property => $_, 'forged' ] }
                     qw/ qoslevel qosLevel CLEANSESSIONFLAG cleanSessionFlag
                         mqttSecondTopic mqttsecondtopic mqttRealTopic
                         MQTTREALTOPIC clientId clientid mqttGateway
                         MqttGateway mqttRetain mqttretain
                         mqtt5ContentType MQTT5CONTENTTYPE
                         mqtt5ResponseTopic mqtt5CorrelationData
                         mqtt5PayloadFormat mqtt5MsgExpireInterval
                         mqttDeadLetterReason mqttdeadlettertopic /),
                 map({ [ user_property => $_, 'kept' ] }
                     qw/ qoslevels oslevel mqtt clientId2 /) ],
      more => [ map { [ $_ => 'kept' ] }
                qw/ qoslevels oslevel mqtt clientId2 / ] },
    { %f, name => 'twenty user properties', version => 5,
      props => [ map { [ user_property => "n$_", "v$_" ] } 1 .. 20 ],
      more => [ map { [ "n$_" => "v$_" ] } 1 .. 20 ] },
    { %f, name => 'properties and a payload larger than one read',
      version => 5, payload => $large,
      props => [ [ content_type => 't' ], [ user_property => 'a', 'b' ] ],
      more => [ [ mqtt5ContentType => 't' ], [ a => 'b' ] ] },
    { %f, name => 'expiry, alias and a payload larger than one read',
      version => 5, payload => $large,
      props => [ [ message_expiry => 77 ], [ topic_alias => 1 ],
                 [ user_property => 'a', 'b' ] ],
      more => [ [ mqtt5MsgExpireInterval => '77' ], [ a => 'b' ] ] },

    # the same name on both sides, both ways

    { %f, name => 'mapped by name', topic => "$both/y", kafka => $both,
      flags => [ 1, 'true', '/y' ] },
);

my $started = time();

for my $n (0 .. $#cases) {
    my $case = $cases[$n];

    my $c = $t->client(version => $case->{version}, client_id => "up\@\@\@$n",
                       %{ $case->{connect} });

    my @publish = ($case->{topic}, $case->{payload}, qos => $case->{qos},
                   retain => $case->{retain}, props => $case->{props});

    if ($case->{qos}) {
        my $answer = $c->publish_wait(@publish);
        is($answer && $answer->{reason} // 0, 0, "$case->{name}: accepted");

    } else {
        $c->publish(@publish);
        ok($c->is_alive, "$case->{name}: taken");
    }

    $c->disconnect;
}

my $ended = time();

my %records = map {
    my $topic = $_;
    my $expected = grep { ($_->{kafka} // $mapped) eq $topic } @cases;

    $topic => [ $kafka->records($topic, count => $expected) ];
} $mapped, $both;

my $late = 0;

for my $n (0 .. $#cases) {
    my $case = $cases[$n];
    my $r = shift @{ $records{$case->{kafka} // $mapped} };

    my ($qos, $clean, $sub) = @{ $case->{flags} };

    is($r->{key}, "up\@\@\@$n", "$case->{name}: key");
    ok(defined $r->{payload} && $r->{payload} eq $case->{payload},
       "$case->{name}: value");
    is_deeply($r->{headers},
              [ [ qoslevel => $qos ], [ cleansessionflag => $clean ],
                [ mqttSecondTopic => $sub ], [ clientId => "up\@\@\@$n" ],
                [ mqttGateway => 'test' ], @{ $case->{more} } ],
              "$case->{name}: headers");

    # nginx looks at its clock once in a turn of the event loop

    $late++ if $r->{ts} < $started * 1000 - 1000 || $r->{ts} > $ended * 1000;
}

is_deeply([ map { scalar @{ $records{$_} } } $mapped, $both ], [ 0, 0 ],
          'no other records');
is($late, 0, 'timestamps are those of receipt');

###############################################################################
# an alias in place of the topic; a QoS 2 publish that is sent twice

my $c = $t->client(version => 5, client_id => 'alias');

$c->publish_wait('telemetry/alias', 'one', qos => 1,
                 props => [ [ topic_alias => 3 ] ]);
$c->publish('', 'two', qos => 2, packet_id => 9,
            props => [ [ topic_alias => 3 ] ]);
$c->expect(PUBREC => packet_id => 9, reason => 0);
$c->publish('', 'two', qos => 2, packet_id => 9, dup => 1,
            props => [ [ topic_alias => 3 ] ]);
$c->expect(PUBREC => packet_id => 9, reason => 0);
$c->send(PUBREL => packet_id => 9);
$c->expect(PUBCOMP => packet_id => 9, reason => 0);

my $from = grep { !$_->{kafka} } @cases;
my @records = $kafka->records($mapped, offset => $from, count => 2);

is_deeply([ map { [ $_->{payload}, $_->{headers}[2][1] ] } @records ],
          [ [ 'one', '/alias' ], [ 'two', '/alias' ] ],
          'the alias is resolved, QoS 2 is exactly once');

###############################################################################
# what is not mapped upwards

my @unmapped = ('command/x', '$telemetry/x', "\$$both", '/telemetry',
                'Telemetry/x', 'telemetr', 'telemetry1/x', '$SYS/x');

for my $topic (@unmapped) {
    my $puback = $c->publish_wait($topic, 'x', qos => 1);
    ok($puback && $puback->{reason} =~ /^(?:0|16)$/, "$topic is accepted");
}

is($t->total('messages_unmapped'), @unmapped, 'and counted');
is($t->total('kafka_produced'), @cases + 2, 'but produced to no topic');
is_deeply([ $kafka->offsets($down) ], [ [ 0, 0 ] ],
          'nothing in a topic for the way down');

###############################################################################
# real clients on both sides

my @pub = ('mosquitto_pub', '-h', '127.0.0.1', '-p', $t->port('mqtt'));

is(system(@pub, '-V', '311', '-i', 'm1', '-t', "$both/m/1", '-q', '1',
          '-m', 'from 3.1.1'), 0, 'mosquitto_pub 3.1.1, QoS 1');
is(system(@pub, '-V', '5', '-i', 'm2', '-t', "$both/m/2", '-q', '2',
          '-m', 'from 5.0', '-D', 'publish', 'user-property', 'unit', 'rpm',
          '-D', 'publish', 'content-type', 'text'),
   0, 'mosquitto_pub 5.0, QoS 2');

open my $kcat, '-|', 'kcat', '-b', $kafka->bootstrap, '-t', $both, '-C', '-e',
     '-q', '-o', 1, '-f', '%k|%s|%h\n' or die "kcat: $!\n";
my @lines = <$kcat>;
close $kcat;

is_deeply(\@lines,
    [ "m1|from 3.1.1|qoslevel=1,cleansessionflag=true,mqttSecondTopic=/m/1,"
      . "clientId=m1,mqttGateway=test\n",
      "m2|from 5.0|qoslevel=2,cleansessionflag=true,mqttSecondTopic=/m/2,"
      . "clientId=m2,mqttGateway=test,mqtt5ContentType=text,unit=rpm\n" ],
    'kcat shows the records');

is($t->total('kafka_acked'), $t->total('kafka_produced'), 'all acknowledged');
is($t->total('kafka_failed') + $t->total('messages_dropped'), 0, 'none lost');

done_testing(@cases * 4 + 2 + 3 + 1 + @unmapped + 3 + 2 + 1 + 2);

###############################################################################
